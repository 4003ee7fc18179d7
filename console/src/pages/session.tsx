/** Session: one call from its request to its bill. */

import { lazy, Suspense, useState } from "react";
import { Link } from "wouter";
import { isProblem, text } from "../api/client";
import { isBilled, pollMsOf, useEnd, useSession, useTimeline, useTranscript } from "../api/queries";
import { serverNow } from "../api/server-clock";
import { useSessionStream } from "../api/session-stream";
import type { Console, SessionDetail, Timeline } from "../api/types";
import { soFar } from "../domain/bill";
import { clock, count, credits, duration, latency, NONE, secondsSince, word } from "../domain/format";
import { findings } from "../domain/story";
import { isOpen, state } from "../domain/words";
import { BillOf } from "../parts/bill";
import { ConfirmButton } from "../parts/confirm";
import { Badge, Copy, Empty, Fact, Failure, LinkState, Loading, PageTitle, Section, useNow } from "../parts/kit";
import { Log } from "../parts/log";
import { Spoken } from "../parts/spoken";
import { Waterfalls } from "../parts/waterfall";

const Turns = lazy(() => import("../parts/turns").then((part) => ({ default: part.Turns })));

export function Session({ id, gateway }: { id: string; gateway: Console }) {
  const link = useSessionStream(id);
  const session = useSession(id, link);
  const pollMs = pollMsOf(link, isBilled(session.data));
  const timeline = useTimeline(id, pollMs);

  if (session.isError && !session.data) {
    return (
      <>
        <PageTitle title="Session" />
        <Failure error={session.error} retry={() => void session.refetch()} />
        {isProblem(session.error, "unknown_session") ? (
          <p>
            The log keeps sessions for 7 days. Go to <Link to="/">the sessions</Link>.
          </p>
        ) : null}
      </>
    );
  }
  if (!session.data) return <Loading what="the session" />;
  const known = session.data;
  return (
    <>
      <nav aria-label="Breadcrumb" className="crumbs">
        <Link to="/">Live</Link> / <code>{id}</code> <Copy text={id} label="the session's id" />
      </nav>
      <PageTitle title={known.erased ? "Erased session" : word(known.userName)}>
        <Badge tone={state(known).tone}>{state(known).label}</Badge>
        <LinkState link={link === "ended" && !isBilled(known) ? "unbilled" : link} />
        <End session={known} />
      </PageTitle>
      {known.erased ? <Erased session={known} timeline={timeline.data} /> : null}
      <Findings session={known} timeline={timeline.data} />
      <Facts session={known} gateway={gateway} />
      {timeline.data ? (
        <Shown timeline={timeline.data} startMs={known.startMs} isOver={!isOpen(known.status)} />
      ) : timeline.isError ? (
        <Failure error={timeline.error} retry={() => void timeline.refetch()} />
      ) : (
        <Loading what="the timeline" />
      )}
      <TranscriptOf id={id} pollMs={pollMs} isOver={!isOpen(known.status)} />
      <Section id="bill" title="Bill">
        <BillOf sessionId={id} link={link} />
      </Section>
      {timeline.data ? <Log entries={timeline.data.entries} /> : null}
    </>
  );
}

function Shown({ timeline, startMs, isOver }: { timeline: Timeline; startMs: number | null; isOver: boolean }) {
  return (
    <>
      <Waterfalls timeline={timeline} startMs={startMs} />
      <Section id="turns" title="Turns against the budget">
        {timeline.turns.length === 0 ? (
          <Empty title={isOver ? "No turn." : "No turn yet."}>
            {isOver ? "The agent answered nothing." : "A turn shows here when the agent has answered."}
          </Empty>
        ) : (
          <Suspense fallback={<Loading what="the chart" />}>
            <Turns turns={timeline.turns} budgetMs={timeline.turnBudgetMs} />
          </Suspense>
        )}
      </Section>
    </>
  );
}

function End({ session }: { session: SessionDetail }) {
  const end = useEnd(session.sessionId);
  if (!isOpen(session.status)) return null;
  return (
    <>
      <ConfirmButton
        label="End the session"
        title="End this session?"
        action="End it now"
        isBusy={end.isPending}
        onConfirm={() => end.mutate()}
      >
        <p>The agent leaves the room, and the call is billed up to now. This cannot be undone.</p>
      </ConfirmButton>
      {end.isError ? <Failure error={end.error} retry={() => end.mutate()} /> : null}
    </>
  );
}

/** What is gone of an erased session, what stays, and since when. */
function Erased({ session, timeline }: { session: SessionDetail; timeline: Timeline | undefined }) {
  const at = timeline?.entries.find((entry) => entry.kind === "erased")?.at;
  return (
    <div role="note" className="notice" aria-label="Erased session">
      <p>
        <strong>The words and names of this session were erased{at ? ` at ${clock(at, serverNow())}` : ""}.</strong>
      </p>
      <p>
        Gone: what was said, the prompt, the opening line, the caller's name and the metadata. Kept: every step and its
        time, the figures of the turns, and the bill
        {session.userId ? ` of the account ${session.userId}` : ""}.
      </p>
    </div>
  );
}

function Findings({ session, timeline }: { session: SessionDetail; timeline: Timeline | undefined }) {
  if (!timeline) return null;
  const found = findings(session, timeline);
  if (found.length === 0) return null;
  return (
    <ul className="findings" aria-label="In short">
      {found.map((finding) => (
        <li key={finding.text} data-tone={finding.tone}>
          {finding.text}
          {finding.fix ? <span className="fix">What to do: {finding.fix}</span> : null}
        </li>
      ))}
    </ul>
  );
}

function Facts({ session, gateway }: { session: SessionDetail; gateway: Console }) {
  const now = useNow();
  const open = isOpen(session.status);
  const served = open ? secondsSince(session.conversationStartTime, now) : session.durationSeconds;
  const sum = soFar(served, gateway.creditsPerMinute);
  return (
    <dl className="facts panel">
      <Fact name="Requested">{clock(session.createdAt, now)}</Fact>
      <Fact name="First audio after">{latency(session.startMs)}</Fact>
      <Fact name={open ? "In call for" : "Served"}>
        <span data-testid="served">{duration(served)}</span>
      </Fact>
      <Fact name={open ? "Cost so far" : "Cost"}>
        {open ? (sum === null ? NONE : credits(sum)) : credits(session.credits)}
      </Fact>
      <Fact name="Limit">{session.grantedMinutes === null ? "none" : count(session.grantedMinutes, "minute")}</Fact>
      <Fact name="Node">
        {word(session.nodeId)}
        {session.epoch > 1 ? `, epoch ${session.epoch}` : ""}
      </Fact>
      <Fact name="Voice">{word(session.voiceId)}</Fact>
      <Fact name="Language">{session.language ?? "the providers' choice"}</Fact>
      <Fact name="Billed user">{word(session.userId)}</Fact>
      {session.tools.length > 0 ? <Fact name="Tools">{session.tools.join(", ")}</Fact> : null}
      {Object.entries(session.metadata).map(([key, value]) => (
        <Fact key={key} name={key}>
          {word(value)}
        </Fact>
      ))}
      <Fact name="Trace">
        <Trace traceId={session.traceId} traceUrl={gateway.traceUrl} />
      </Fact>
      {session.logFile ? (
        <div className="fact fact-wide">
          <dt>Log file</dt>
          <dd>
            <code>{session.logFile}</code>
          </dd>
        </div>
      ) : null}
      {session.systemPrompt ? (
        <div className="fact fact-wide">
          <dt>Prompt</dt>
          <dd>
            <details>
              <summary>{session.systemPrompt.length} characters</summary>
              <p className="prompt">{session.systemPrompt}</p>
            </details>
          </dd>
        </div>
      ) : null}
    </dl>
  );
}

function Trace({ traceId, traceUrl }: { traceId: string | null; traceUrl: string | null }) {
  if (!traceId) return <span className="muted">none recorded</span>;
  if (!traceUrl) {
    return (
      <>
        <code>{traceId}</code> <Copy text={traceId} label="the trace's id" />
      </>
    );
  }
  return (
    <a href={traceUrl.replace("{traceId}", traceId)} target="_blank" rel="noreferrer">
      Open the trace
    </a>
  );
}

function TranscriptOf({ id, pollMs, isOver }: { id: string; pollMs: number | false; isOver: boolean }) {
  const transcript = useTranscript(id, pollMs);
  const [unsaved, setUnsaved] = useState<unknown>(null);
  const save = async () => {
    const written = await text(`/v1/sessions/${encodeURIComponent(id)}/transcript.txt`);
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([written], { type: "text/plain" }));
    link.download = `${id}.txt`;
    link.click();
    URL.revokeObjectURL(link.href);
    setUnsaved(null);
  };
  const hasWords = transcript.data && !transcript.data.erased && transcript.data.turns.length > 0;
  return (
    <Section
      id="transcript"
      title="Transcript"
      aside={
        hasWords ? (
          <button type="button" className="quiet" onClick={() => void save().catch(setUnsaved)}>
            Save as text
          </button>
        ) : null
      }
    >
      {unsaved ? <Failure error={unsaved} /> : null}
      {transcript.data ? (
        <Spoken transcript={transcript.data} isOver={isOver} />
      ) : transcript.isError ? (
        <Failure error={transcript.error} retry={() => void transcript.refetch()} />
      ) : (
        <Loading what="the transcript" />
      )}
    </Section>
  );
}
