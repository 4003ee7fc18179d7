/** A call from the Talk page: its phases and the times of its start, in ms since the POST. */

import type { ProblemBody, StartProgress, StartReply } from "../api/types";

export interface Call {
  phase: "idle" | "preparing" | "asked" | "joining" | "talking" | "ending" | "ended" | "failed";
  askedAt: number;
  hasMicrophone: boolean;
  sessionId: string | null;
  token: string | null;
  serverUrl: string | null;
  acceptedMs: number | null;
  joinedMs: number | null;
  firstAudioMs: number | null;
  stageMs: Record<string, number>;
  problem: unknown;
}

export type CallEvent =
  | { kind: "preparing" }
  | { kind: "asked"; atMs: number; hasMicrophone: boolean }
  | { kind: "accepted"; atMs: number; reply: StartReply }
  | { kind: "reached"; atMs: number; progress: StartProgress }
  | { kind: "heard"; atMs: number }
  | { kind: "failed"; problem: unknown }
  | { kind: "closed"; problem: unknown }
  | { kind: "ending" }
  | { kind: "end_failed" }
  | { kind: "left" }
  | { kind: "ended" };

export const IDLE: Call = {
  phase: "idle",
  askedAt: 0,
  hasMicrophone: true,
  sessionId: null,
  token: null,
  serverUrl: null,
  acceptedMs: null,
  joinedMs: null,
  firstAudioMs: null,
  stageMs: {},
  problem: null,
};

const ON: ReadonlySet<Call["phase"]> = new Set(["preparing", "asked", "joining", "talking", "ending"]);

/** Whether there is a call, or one is about to be: no other can begin. */
export function isOn(call: Call): boolean {
  return ON.has(call.phase);
}

/** What the state of a call is to a reader who does not see the page. */
export function spokenState(call: Call): string {
  switch (call.phase) {
    case "asked":
    case "joining":
      return "The call is starting.";
    case "talking":
      return "The agent has begun to speak.";
    case "ending":
      return "The call is ending.";
    case "ended":
      return "The call has ended. Its bill follows.";
    default:
      return "";
  }
}

/** What LiveKit's client reports, with what to do: a device of this browser, or the way to LiveKit. */
export function mediaProblem(error: Error, serverUrl: string | null): ProblemBody {
  const isDevice = ["NotAllowedError", "NotFoundError", "NotReadableError", "OverconstrainedError"].includes(
    error.name,
  );
  return {
    title: isDevice ? "The microphone cannot be used" : "The call's media does not connect",
    status: 0,
    detail: `${error.message.replace(/[.\s]+$/, "")}.`,
    code: isDevice ? "no_microphone" : "no_media",
    fix: isDevice
      ? "Allow the microphone in the address bar, and check that no other program holds it. You can type meanwhile."
      : `Check that this browser reaches LiveKit at ${serverUrl ?? "its address"} and its media ports: docs/deploy/livekit.md says which.`,
    retryable: true,
    request_id: "",
  };
}

/** The name of a start, for its repetitions. `randomUUID` exists over HTTPS and on localhost only. */
export function newName(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

export function step(call: Call, event: CallEvent): Call {
  switch (event.kind) {
    case "preparing":
      return { ...IDLE, phase: "preparing" };
    case "asked":
      return { ...IDLE, phase: "asked", askedAt: event.atMs, hasMicrophone: event.hasMicrophone };
    case "accepted": {
      const { sessionId, token, serverUrl } = event.reply;
      return { ...call, phase: "joining", sessionId, token, serverUrl, acceptedMs: event.atMs - call.askedAt };
    }
    case "reached": {
      const isFirst = call.joinedMs === null;
      return {
        ...call,
        stageMs: event.progress.stageMs,
        joinedMs: isFirst ? event.atMs - call.askedAt : call.joinedMs,
      };
    }
    case "heard":
      return call.firstAudioMs === null && call.phase !== "ended"
        ? { ...call, phase: "talking", firstAudioMs: event.atMs - call.askedAt }
        : call;
    case "failed":
      // A call that was heard goes on without the stream of its start.
      return call.phase === "talking" || call.phase === "ending" || call.phase === "ended"
        ? call
        : { ...call, phase: "failed", problem: event.problem };
    case "closed":
      // The stream of a start ends by itself once the agent speaks; before the reply it has failed.
      return call.phase === "asked" ? { ...call, phase: "failed", problem: event.problem } : call;
    case "ending":
      return { ...call, phase: "ending" };
    case "end_failed":
      // The page joins the room again, so that the call can be ended again.
      return call.phase === "ending" ? { ...call, phase: call.firstAudioMs === null ? "joining" : "talking" } : call;
    case "left":
      // While the call ends, the page itself has left the room; the answer to the end decides.
      return call.phase === "ending" ? call : step(call, { kind: "ended" });
    case "ended":
      return call.sessionId === null || call.phase === "failed" ? call : { ...call, phase: "ended" };
  }
}
