/** Plain words for the names on the wire; a name of a newer gateway is shown unchanged. */

import type { SessionSummary, Status } from "../api/types";

export type Tone = "neutral" | "good" | "warn" | "bad" | "info";

const STATUS: Record<Status, [string, Tone]> = {
  requested: ["Requested", "info"],
  queued: ["Queued", "warn"],
  starting: ["Starting", "info"],
  ready: ["Agent ready", "info"],
  active: ["In call", "good"],
  ended: ["Ended", "neutral"],
  rejected: ["Rejected", "bad"],
};

const OUTCOME: Record<string, [string, Tone]> = {
  completed: ["Completed", "neutral"],
  rejected: ["Rejected", "bad"],
  no_show: ["No show", "warn"],
  failed: ["Failed", "bad"],
};

const STAGES: Record<string, string> = {
  endpointing: "end of the turn",
  stt: "speech to text",
  turn: "end of turn",
  llm: "model, first words",
  sentence: "first sentence",
  tts: "voice",
  transport: "transport",
  pool_wait: "wait for a warm worker",
  go: "the worker gets the job",
  join: "the agent joins the room",
  publish: "the agent's track is published",
  tts_connected: "the voice is connected",
  joined: "the agent is in the room",
  heard: "the caller joins and hears the agent",
};

const OPEN: ReadonlySet<string> = new Set(["requested", "queued", "starting", "ready", "active"]);

export function isOpen(status: string): boolean {
  return OPEN.has(status);
}

/** What the badge of a session says: its outcome once it has one. */
export function state(session: Pick<SessionSummary, "status" | "outcome">): { label: string; tone: Tone } {
  const named = isOpen(session.status) ? STATUS[session.status] : OUTCOME[session.outcome ?? ""];
  const [label, tone] = named ?? STATUS[session.status] ?? [session.status, "neutral" as Tone];
  return { label, tone };
}

export function outcomeLabel(outcome: string): string {
  return OUTCOME[outcome]?.[0] ?? outcome;
}

export function stageName(name: string, label?: string): string {
  return STAGES[name] || label || name.replaceAll("_", " ");
}
