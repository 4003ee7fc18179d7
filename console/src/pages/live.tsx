/** Live: running and recent sessions, as they change. */

import { useQueryClient } from "@tanstack/react-query";
import { useDeferredValue, useEffect, useState } from "react";
import { Link } from "wouter";
import { useRecent, useRunning } from "../api/queries";
import { useStream } from "../api/stream";
import type { Console, SessionSummary } from "../api/types";
import { soFar } from "../domain/bill";
import { reasonText } from "../domain/endings";
import { ago, clock, count, credits, duration, latency, NONE, secondsSince, shortId, word } from "../domain/format";
import { type Filter, listed, type Told, withTold } from "../domain/live";
import { isOpen, outcomeLabel, stageName, state } from "../domain/words";
import { Badge, Empty, Failure, LinkState, Loading, PageTitle, Section, useNow } from "../parts/kit";

interface Choice {
  user: string;
  status: string;
  outcome: string;
}

const ALL: Choice = { user: "", status: "", outcome: "" };
const NOTHING_TOLD: Told = new Map();

export function Live({ gateway }: { gateway: Console }) {
  const [choice, setChoice] = useState(ALL);
  const { user, status, outcome } = useDeferredValue(choice);
  const { link, told } = useLiveSessions();
  const showsRunning = status !== "over" && outcome === "";
  const showsRecent = status !== "open";
  const open: Filter = { user, outcome: "", group: "open" };
  const over: Filter = { user, outcome, group: "over" };
  const running = useRunning(open, link, showsRunning);
  const recent = useRecent(over, link, showsRecent);

  const shown = [...(showsRunning ? [running] : []), ...(showsRecent ? [recent] : [])];
  const runningNow = showsRunning ? listed(running.data?.items ?? [], told, open) : [];
  const recentNow = showsRecent ? listed(recent.data?.pages.flatMap((page) => page.items) ?? [], told, over) : [];
  const failed = shown.find((query) => query.isError && !query.data);
  const isEmpty = runningNow.length + recentNow.length === 0;
  const figures = { price: gateway.creditsPerMinute, budgetMs: gateway.turnBudgetMs };
  return (
    <>
      <PageTitle title="Live">
        <LinkState link={link} />
      </PageTitle>
      <Filters choice={choice} onChange={setChoice} />
      {failed ? (
        <Failure error={failed.error} retry={() => void failed.refetch()} />
      ) : shown.some((query) => query.isPending) ? (
        <Loading what="the sessions" />
      ) : isEmpty && !(showsRecent && recent.hasNextPage) ? (
        <Nothing isFiltered={user !== "" || status !== "" || outcome !== ""} onClear={() => setChoice(ALL)} />
      ) : (
        <>
          {showsRunning ? (
            <Section
              id="running"
              title={`Running (${runningNow.length}${running.data?.isWhole === false ? " or more" : ""})`}
            >
              {runningNow.length === 0 ? (
                <Empty title="No session is running.">
                  <Link to="/talk">Place a call from this browser</Link>
                </Empty>
              ) : (
                <Sessions sessions={runningNow} caption="Running sessions" {...figures} />
              )}
            </Section>
          ) : null}
          {showsRecent ? (
            <Section id="recent" title="Recent">
              {recentNow.length === 0 ? (
                <Empty title="No session has ended yet." />
              ) : (
                <Sessions sessions={recentNow} caption="Recent sessions" isOver {...figures} />
              )}
            </Section>
          ) : null}
          {showsRecent && recent.hasNextPage ? (
            <button type="button" onClick={() => void recent.fetchNextPage()} disabled={recent.isFetchingNextPage}>
              {recent.isFetchingNextPage ? "Loading…" : "Show older sessions"}
            </button>
          ) : null}
          {showsRecent && recent.isFetchNextPageError ? <Failure error={recent.error} /> : null}
        </>
      )}
    </>
  );
}

/**
 * What the stream tells while it is live.
 *
 * A stream begins with the open sessions only: what ended in a gap is asked for, and what was told before it is
 * forgotten.
 */
function useLiveSessions() {
  const client = useQueryClient();
  const [told, setTold] = useState(NOTHING_TOLD);
  const link = useStream("/v1/events", ({ event, data }) => {
    if (event !== "session") return;
    const changed = JSON.parse(data) as SessionSummary;
    setTold((before) => withTold(before, changed));
    return;
  });
  useEffect(() => {
    if (link === "live") void client.invalidateQueries({ queryKey: ["sessions"] });
    else setTold(NOTHING_TOLD);
  }, [link, client]);
  return { link, told };
}

function Filters({ choice, onChange }: { choice: Choice; onChange: (choice: Choice) => void }) {
  return (
    <search className="filters">
      <label>
        <span>User</span>
        <input
          type="search"
          value={choice.user}
          onChange={(e) => onChange({ ...choice, user: e.target.value })}
          placeholder="any"
          autoComplete="off"
        />
      </label>
      <label>
        <span>State</span>
        <select value={choice.status} onChange={(e) => onChange({ ...choice, status: e.target.value })}>
          <option value="">any</option>
          <option value="open">running</option>
          <option value="over">ended</option>
        </select>
      </label>
      <label>
        <span>Outcome</span>
        <select value={choice.outcome} onChange={(e) => onChange({ ...choice, outcome: e.target.value })}>
          <option value="">any</option>
          {["completed", "failed", "rejected", "no_show"].map((each) => (
            <option key={each} value={each}>
              {outcomeLabel(each).toLowerCase()}
            </option>
          ))}
        </select>
      </label>
    </search>
  );
}

function Nothing({ isFiltered, onClear }: { isFiltered: boolean; onClear: () => void }) {
  return isFiltered ? (
    <Empty title="No session matches.">
      <button type="button" onClick={onClear}>
        Clear the filters
      </button>
    </Empty>
  ) : (
    <Empty title="No sessions yet.">
      <p>
        <Link to="/talk">Place a call from this browser</Link>, or start one with <code>greenroom call</code>.
      </p>
    </Empty>
  );
}

interface Listed {
  sessions: SessionSummary[];
  price: number | null;
  budgetMs: number;
  caption: string;
  isOver?: boolean;
}

function Sessions({ sessions, price, budgetMs, caption, isOver = false }: Listed) {
  const now = useNow();
  return (
    <div className="scroll">
      <table className="sessions">
        <caption className="visually-hidden">{caption}</caption>
        <thead>
          <tr>
            <th scope="col">State</th>
            <th scope="col">Session</th>
            <th scope="col" className="wide">
              Node
            </th>
            <th scope="col" className="number wide">
              {isOver ? "Served" : "Age"}
            </th>
            <th scope="col" className="number wide">
              Turns
            </th>
            <th scope="col" className="number">
              Last turn
            </th>
            <th scope="col" className="number">
              Cost
            </th>
          </tr>
        </thead>
        <tbody>
          {sessions.map((session) => (
            <Row key={session.sessionId} session={session} now={now} price={price} budgetMs={budgetMs} />
          ))}
        </tbody>
      </table>
    </div>
  );
}

function Row({
  session,
  now,
  price,
  budgetMs,
}: {
  session: SessionSummary;
  now: number;
  price: number | null;
  budgetMs: number;
}) {
  const { label, tone } = state(session);
  const reason = reasonText(session.reason);
  const times = isOpen(session.status)
    ? [duration(secondsSince(session.createdAt, now))]
    : [duration(session.durationSeconds), `ended ${ago(secondsSince(session.endedAt, now))}`];
  return (
    <tr>
      <td>
        <Badge tone={tone}>{label}</Badge>
      </td>
      <th scope="row">
        <Link to={`/sessions/${session.sessionId}`}>{session.erased ? "erased" : word(session.userName)}</Link>
        <span className="sub">
          <code title={session.sessionId}>{shortId(session.sessionId)}</code> · {clock(session.createdAt, now)}
          <span className="narrow"> · {times.join(", ")}</span>
          {reason && !isOpen(session.status) ? ` · ${reason}` : ""}
        </span>
      </th>
      <td className="wide">
        {word(session.nodeId)}
        {session.takeovers > 0 ? <span className="sub">{count(session.takeovers, "take-over")}</span> : null}
      </td>
      <td className="number wide">
        {times[0]}
        {times[1] ? <span className="sub">{times[1]}</span> : null}
      </td>
      <td className="number wide">{session.turns}</td>
      <td className="number">
        <LastTurn session={session} budgetMs={budgetMs} />
      </td>
      <td className="number">
        {cost(session, now, price)}
        {isOpen(session.status) ? <span className="sub">so far</span> : null}
      </td>
    </tr>
  );
}

function LastTurn({ session, budgetMs }: { session: SessionSummary; budgetMs: number }) {
  const turn = session.lastTurn;
  if (!turn) return NONE;
  if (turn.latencyMs === null) return <span className="sub">not measured</span>;
  const isOver = turn.overBudget !== null || turn.latencyMs > budgetMs;
  return (
    <>
      <span data-over={isOver}>{latency(turn.latencyMs)}</span>
      {turn.overBudget ? <span className="sub">slow: {stageName(turn.overBudget)}</span> : null}
    </>
  );
}

function cost(session: SessionSummary, now: number, price: number | null): string {
  if (!isOpen(session.status)) return credits(session.credits);
  return credits(soFar(secondsSince(session.conversationStartTime, now), price));
}
