/** Bars of a waterfall, in percent of the shown time. */

import type { Entry, Stage, TurnTiming } from "../api/types";

export interface Bar {
  name: string;
  label: string;
  ms: number;
  beginMs: number;
  /** Percent of the width. */
  left: number;
  width: number;
}

/** A bar that can be seen and hovered over, however short its stage is. */
const THINNEST = 0.6;

export function bars(stages: readonly Stage[], untilMs?: number): { bars: Bar[]; endMs: number } {
  const sound = stages.filter((s) => Number.isFinite(s.beginMs) && Number.isFinite(s.endMs));
  const endMs = Math.max(1, untilMs ?? 0, ...sound.map((stage) => stage.endMs));
  return { endMs, bars: sound.map((stage) => bar(stage, endMs)) };
}

function bar({ name, label, beginMs, endMs }: Stage, end: number): Bar {
  const from = clamp(beginMs, 0, end);
  const to = clamp(endMs, from, end);
  const width = Math.max(THINNEST, ((to - from) / end) * 100);
  return { name, label, beginMs: from, ms: to - from, left: Math.min((from / end) * 100, 100 - width), width };
}

/** The parts of a whole session, from the request to the bill; a take-over is the time without an agent. */
export function phases(entries: readonly Entry[]): Stage[] {
  const at = (kind: string) => entries.find((entry) => entry.kind === kind)?.offsetMs;
  const [started, ended, billed] = [at("started"), at("ended"), at("billed")];
  const found: (Stage | null)[] = [
    started === undefined
      ? phase("start", "until the end, without a conversation", 0, ended)
      : phase("start", "until both are in the room", 0, started),
    phase("conversation", "the conversation", started, ended),
    ...takeovers(entries),
    phase("billing", "until the bill", ended, billed),
  ];
  return found.filter((stage) => stage !== null);
}

/** Only an agent that was in the room is taken over; before the first one a new epoch is another attempt to start. */
function takeovers(entries: readonly Entry[]): (Stage | null)[] {
  const first = entries.find((entry) => entry.kind === "agent_ready")?.epoch ?? Number.POSITIVE_INFINITY;
  return entries
    .filter((entry) => entry.kind === "assigned" && (entry.epoch ?? 1) > first)
    .map((taken) => takeover(taken, entries));
}

function takeover(assigned: Entry, entries: readonly Entry[]): Stage | null {
  const former = (assigned.epoch ?? 1) - 1;
  const before = entries.find((entry) => entry.kind === "agent_stopped" && entry.epoch === former);
  const ready = entries.find((entry) => entry.kind === "agent_ready" && entry.epoch === assigned.epoch);
  const began = before?.offsetMs ?? assigned.offsetMs;
  return phase("takeover", `take-over by epoch ${assigned.epoch}`, began, ready?.offsetMs);
}

function phase(name: string, label: string, beginMs: number | undefined, endMs: number | undefined): Stage | null {
  return beginMs === undefined || endMs === undefined ? null : { name, label, beginMs, endMs };
}

/** Round marks of an axis from 0 to `endMs`, at most `most` of them. */
export function ticks(endMs: number, most = 6): number[] {
  if (!(endMs > 0)) return [0];
  const rough = endMs / most;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((n) => n * power).find((n) => n >= rough) ?? 10 * power;
  return Array.from({ length: Math.floor(endMs / step) + 1 }, (_, i) => i * step);
}

/** The stages of any turn, in the order in which they first appear. */
export function stageNames(turns: readonly TurnTiming[]): { name: string; label: string }[] {
  const found = new Map<string, string>();
  for (const turn of turns)
    for (const stage of turn.stages) if (!found.has(stage.name)) found.set(stage.name, stage.label);
  return [...found].map(([name, label]) => ({ name, label }));
}

/** By how much a turn broke its budget, in ms; null within it, and while its time is unknown. */
export function excess(turn: TurnTiming): number | null {
  return turn.totalMs !== null && turn.totalMs > turn.budgetMs ? turn.totalMs - turn.budgetMs : null;
}

/** Why a turn has no time. */
export function unmeasured(turn: TurnTiming): string {
  return turn.interrupted ? "cut off before its time was known: not measured" : "typed or unasked: not measured";
}

function clamp(value: number, low: number, high: number): number {
  return Math.min(high, Math.max(low, value));
}
