/** Talk: a call from the browser, with what it heard and how long it waited. */

import { LiveKitRoom, RoomAudioRenderer } from "@livekit/components-react";
import { useCallback, useEffect, useReducer, useRef, useState } from "react";
import { Link } from "wouter";
import { events, Problem, post } from "../api/client";
import { useSessionStream } from "../api/session-stream";
import type { Console, ProblemBody, StartProgress, StartReply } from "../api/types";
import { type Call, IDLE, isOn, mediaProblem, newName, spokenState, step } from "../domain/call";
import { latency } from "../domain/format";
import { stageName } from "../domain/words";
import { BillOf } from "../parts/bill";
import { InCall } from "../parts/in-call";
import { Empty, Failure, PageTitle, Section } from "../parts/kit";
import { type StartFields, StartForm } from "../parts/start-form";

const UNANSWERED: ProblemBody = {
  title: "The start was not answered",
  status: 0,
  detail: "The gateway's answer ended before it accepted or refused the call.",
  code: "unanswered",
  fix: "Look at the running sessions, then start again.",
  retryable: true,
  request_id: "",
};

interface Props {
  gateway: Console;
  isShown: boolean;
  onCall: (isOn: boolean) => void;
}

export function Talk({ gateway, isShown, onCall }: Props) {
  const [call, tell] = useReducer(step, IDLE);
  const [problem, setProblem] = useState<unknown>(null);
  const stop = useRef<AbortController | null>(null);

  const start = async (fields: StartFields) => {
    stop.current?.abort();
    stop.current = new AbortController();
    setProblem(null);
    tell({ kind: "preparing" }); // before the browser asks: a second click must not start a second call
    const hasMicrophone = await allowed();
    tell({ kind: "asked", atMs: performance.now(), hasMicrophone });
    try {
      const init = {
        method: "POST",
        body: JSON.stringify(fields),
        headers: { "Content-Type": "application/json", "Idempotency-Key": newName() },
        signal: stop.current.signal,
      };
      for await (const { event, data } of events("/orchestrator/session/start", init)) {
        const atMs = performance.now();
        if (event === "accepted") tell({ kind: "accepted", atMs, reply: JSON.parse(data) as StartReply });
        else if (event === "failed") tell({ kind: "failed", problem: new Problem(JSON.parse(data) as ProblemBody) });
        else if (event) tell({ kind: "reached", atMs, progress: JSON.parse(data) as StartProgress });
      }
      tell({ kind: "closed", problem: new Problem(UNANSWERED) });
    } catch (error) {
      if (!stop.current.signal.aborted) tell({ kind: "failed", problem: error });
    }
  };
  const end = async () => {
    if (!call.sessionId) return;
    setProblem(null);
    tell({ kind: "ending" });
    try {
      await post("/orchestrator/session/end", { sessionId: call.sessionId });
      tell({ kind: "ended" });
    } catch (error) {
      setProblem(error);
      tell({ kind: "end_failed" });
      return;
    }
    stop.current?.abort();
  };

  const onLeft = useCallback(() => tell({ kind: "left" }), []);
  const onHeard = useCallback((atMs: number) => tell({ kind: "heard", atMs }), []);
  const isBusy = isOn(call);
  useEffect(() => {
    onCall(isBusy);
    return () => onCall(false);
  }, [isBusy, onCall]);
  return (
    <>
      <PageTitle title="Talk" isShown={isShown}>
        <p className="muted">Place a call from this browser. Its words, times and bill show as they happen.</p>
      </PageTitle>
      <div className="talk">
        <StartForm gateway={gateway} isOn={isBusy} onStart={(fields) => void start(fields)} />
        <div className="talk-call">
          <p role="status" className="visually-hidden">
            {spokenState(call)}
          </p>
          <Start call={call} />
          {/* It leaves the room before the agent does, which may be in the middle of a caption. */}
          {call.token && call.serverUrl && isBusy && call.phase !== "ending" ? (
            <LiveKitRoom
              serverUrl={call.serverUrl}
              token={call.token}
              connect
              audio={call.hasMicrophone}
              video={false}
              onDisconnected={onLeft}
              onError={(error) => setProblem(new Problem(mediaProblem(error, call.serverUrl)))}
            >
              <RoomAudioRenderer />
              <InCall call={call} turnBudgetMs={gateway.turnBudgetMs} onHeard={onHeard} onEnd={() => void end()} />
            </LiveKitRoom>
          ) : null}
          {problem ? <Failure error={problem} /> : null}
          {call.phase === "ended" && call.sessionId ? (
            <Section
              id="talk-bill"
              title="Bill"
              aside={<Link to={`/sessions/${call.sessionId}`}>Everything about this call</Link>}
            >
              <EndedBill sessionId={call.sessionId} />
            </Section>
          ) : null}
        </div>
      </div>
    </>
  );
}

function EndedBill({ sessionId }: { sessionId: string }) {
  const link = useSessionStream(sessionId);
  return <BillOf sessionId={sessionId} link={link} />;
}

function Start({ call }: { call: Call }) {
  if (call.phase === "idle") {
    return (
      <Empty title="No call yet.">
        Choose what the agent is, then start the call. The browser asks for your microphone.
      </Empty>
    );
  }
  if (call.phase === "preparing") {
    return <Empty title="Waiting for the microphone.">Answer the browser's question; without it you can type.</Empty>;
  }
  if (call.problem) return <Failure error={call.problem} />;
  const stages = Object.entries(call.stageMs);
  return (
    <Section
      id="talk-start"
      title="Start"
      aside={call.sessionId ? <Link to={`/sessions/${call.sessionId}`}>Session</Link> : null}
    >
      <p className="big-figure">
        <strong data-testid="first-audio">{latency(call.firstAudioMs)}</strong>
        <span>from the POST to the first audio, heard in this browser</span>
      </p>
      <ul className="chips" aria-label="Steps of the start">
        <li data-done={call.acceptedMs !== null}>POST answered {latency(call.acceptedMs)}</li>
        <li data-done={call.joinedMs !== null}>agent in the room {latency(call.joinedMs)}</li>
        <li data-done={call.firstAudioMs !== null}>first audio {latency(call.firstAudioMs)}</li>
      </ul>
      {stages.length > 0 ? (
        <p className="muted">
          When each step was done, since a node got the call:{" "}
          {stages.map(([name, ms]) => `${stageName(name)} ${latency(ms)}`).join(" · ")}
        </p>
      ) : null}
      {call.hasMicrophone ? null : (
        <p role="status" className="notice" data-tone="warn">
          The browser gives no microphone, so the agent cannot hear you; type instead.{" "}
          {window.isSecureContext
            ? "Allow the microphone in the address bar and start again."
            : "It gives one only to a page over HTTPS or on localhost; this page is neither."}
        </p>
      )}
    </Section>
  );
}

/** Asks for the microphone before the start, so that the time in which a person answers is not taken for the agent's. */
async function allowed(): Promise<boolean> {
  try {
    const stream = await navigator.mediaDevices.getUserMedia({ audio: true });
    for (const track of stream.getTracks()) track.stop();
    return true;
  } catch {
    return false;
  }
}
