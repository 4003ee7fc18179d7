/** The inside of a call: the agent's state, the microphone, captions of both sides, typed text, and each answer's time. */

import { useChat, useLocalParticipant, useTrackTranscription, useVoiceAssistant } from "@livekit/components-react";
import { Track } from "livekit-client";
import { type FormEvent, useEffect, useMemo, useRef, useState } from "react";
import { Problem } from "../api/client";
import { type Call, mediaProblem } from "../domain/call";
import { conversation, type Line } from "../domain/captions";
import { latency } from "../domain/format";
import { useEar } from "./ear";
import { Badge, Failure, Section, useFocusAfter } from "./kit";
import { Measured } from "./measured";

const STATES: Record<string, string> = {
  disconnected: "not connected",
  connecting: "connecting",
  initializing: "getting ready",
  "pre-connect-buffering": "getting ready",
  idle: "idle",
  listening: "listening",
  thinking: "thinking",
  speaking: "speaking",
  failed: "failed",
};

interface Props {
  call: Call;
  turnBudgetMs: number;
  onHeard: (atMs: number) => void;
  onEnd: () => void;
}

export function InCall({ call, turnBudgetMs, onHeard, onEnd }: Props) {
  const { state, audioTrack, agentTranscriptions } = useVoiceAssistant();
  const { microphoneTrack, isMicrophoneEnabled, localParticipant } = useLocalParticipant();
  const { segments: callerTranscriptions } = useTrackTranscription(
    microphoneTrack && { participant: localParticipant, publication: microphoneTrack, source: Track.Source.Microphone },
  );
  const { answers, level, typed } = useEar(
    audioTrack?.publication.track?.mediaStreamTrack,
    microphoneTrack?.track?.mediaStreamTrack,
    state === "thinking",
  );
  const [mutingFailed, setMutingFailed] = useState<unknown>(null);
  const mute = (isMuted: boolean) =>
    localParticipant.setMicrophoneEnabled(!isMuted).then(
      () => setMutingFailed(null),
      (error: Error) => setMutingFailed(new Problem(mediaProblem(error, call.serverUrl))),
    );
  const endButton = useRef<HTMLButtonElement>(null);
  useFocusAfter(endButton, "section");
  const first = answers[0];
  useEffect(() => {
    if (first) onHeard(first.atMs);
  }, [first, onHeard]);
  return (
    <Section
      id="talk-call"
      title="Conversation"
      aside={
        <button ref={endButton} type="button" className="danger" onClick={onEnd}>
          End the call
        </button>
      }
    >
      <div className="call-state">
        <p role="status" data-testid="agent-state">
          The agent is <Badge tone={state === "speaking" ? "good" : "info"}>{STATES[state] ?? state}</Badge>
        </p>
        <Microphone level={level} isOn={isMicrophoneEnabled} onToggle={() => void mute(isMicrophoneEnabled)} />
      </div>
      {mutingFailed ? <Failure error={mutingFailed} /> : null}
      <Conversation agentSaid={agentTranscriptions} callerSaid={callerTranscriptions} onTyped={typed} />
      <Answers
        answers={answers.slice(1).flatMap((answer) => (answer.latencyMs === null ? [] : [answer.latencyMs]))}
        budgetMs={turnBudgetMs}
      />
      {call.sessionId ? <Measured sessionId={call.sessionId} /> : null}
    </Section>
  );
}

function Microphone({ level, isOn, onToggle }: { level: number; isOn: boolean; onToggle: () => void }) {
  return (
    <div className="microphone">
      <button type="button" onClick={onToggle} aria-pressed={!isOn}>
        {isOn ? "Mute" : "Muted"}
      </button>
      <meter min={0} max={1} value={level} aria-label="Microphone level" title="Microphone level" />
    </div>
  );
}

interface Said {
  id: string;
  text: string;
}

interface ConversationProps {
  agentSaid: readonly Said[];
  callerSaid: readonly Said[];
  onTyped: () => void;
}

/** Captions by the events of the tracks: a text stream breaks with an error when the call ends within a sentence. */
function Conversation({ agentSaid, callerSaid, onTyped }: ConversationProps) {
  const { send, chatMessages, isSending } = useChat();
  const [text, setText] = useState("");
  const [failed, setFailed] = useState(false);
  const end = useRef<HTMLDivElement>(null);
  const firstSeen = useRef(new Map<string, number>());
  const lines = useMemo(() => {
    // In the order of this page's clock: the senders' clocks may differ.
    const seen = (id: string) => {
      const at = firstSeen.current.get(id) ?? performance.now();
      firstSeen.current.set(id, at);
      return at;
    };
    const captions = (from: string, said: readonly Said[]) =>
      said.map(({ id, text }) => ({ id, segment: id, from, text, atMs: seen(id) }));
    const typed = chatMessages.map(({ id, from, message }) => {
      return { id, segment: undefined, from: from?.identity ?? "", text: message, atMs: seen(id) };
    });
    return conversation([...captions("agent:", agentSaid), ...captions("caller:", callerSaid)], typed);
  }, [agentSaid, callerSaid, chatMessages]);
  const last = lines.at(-1)?.text;
  // biome-ignore lint/correctness/useExhaustiveDependencies: each new word scrolls
  useEffect(() => {
    void end.current?.scrollIntoView({ block: "nearest" }); // newer browsers return a promise, and an effect must not
  }, [last]);

  const submit = async (event: FormEvent) => {
    event.preventDefault();
    if (!text.trim()) return;
    try {
      onTyped();
      await send(text.trim());
      setText("");
      setFailed(false);
    } catch {
      setFailed(true);
    }
  };
  return (
    <>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: a region that scrolls must be reachable by keyboard */}
      <div className="captions" role="log" aria-label="Captions" tabIndex={0}>
        {lines.length === 0 ? <p className="muted">What both sides say appears here.</p> : null}
        {lines.map((line) => (
          <Caption key={line.id} line={line} />
        ))}
        <div ref={end} />
      </div>
      <form className="type" onSubmit={(event) => void submit(event)}>
        <label htmlFor="typed" className="visually-hidden">
          Type to the agent
        </label>
        <input
          id="typed"
          value={text}
          maxLength={1000}
          onChange={(e) => setText(e.target.value)}
          placeholder="Type to the agent"
          autoComplete="off"
        />
        <button type="submit" disabled={isSending || !text.trim()}>
          Send
        </button>
      </form>
      {failed ? (
        <p role="alert" className="field-error">
          The text was not sent: the call is not connected. Try again in a moment.
        </p>
      ) : null}
    </>
  );
}

function Caption({ line }: { line: Line }) {
  const who = line.isAgent ? "Agent" : line.isTyped ? "You, typed" : "You";
  return (
    <p className="caption" data-side={line.isAgent ? "agent" : "caller"}>
      <span className="caption-who">{who}</span>
      <span>{line.text}</span>
    </p>
  );
}

function Answers({ answers, budgetMs }: { answers: number[]; budgetMs: number }) {
  if (answers.length === 0)
    return <p className="muted">Each answer's time shows here, from your last sound to the agent's first.</p>;
  return (
    <ol className="answers" aria-label="Time of each answer, heard in this browser" data-testid="answers">
      {answers.map((ms, at) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: answers are only added
        <li key={at} data-slow={ms > budgetMs}>
          <span>Answer {at + 1}</span>
          <strong>{latency(ms)}</strong>
          <span className="muted">
            {ms > budgetMs ? `${latency(ms - budgetMs)} over the budget` : "within the budget"}
          </span>
        </li>
      ))}
    </ol>
  );
}
