/** What a reader wants to know first about a session, in sentences. */

import type { Entry, SessionDetail, Timeline, TurnTiming } from "../api/types";
import { fixOf, reasonText } from "./endings";
import { count, duration, latency, secondsSince } from "./format";
import { excess } from "./waterfall";
import { isOpen, outcomeLabel, stageName, type Tone } from "./words";

export interface Finding {
  tone: Tone;
  text: string;
  /** What to do about it. */
  fix?: string | null;
}

export interface Considered {
  nodeId: string;
  verdict: string;
  why: string;
}

export function findings(session: SessionDetail, timeline: Timeline): Finding[] {
  return [
    ending(session),
    refusals(session, timeline),
    start(session, timeline),
    ...takeovers(session),
    ...slow(timeline),
    ...faults(timeline),
    network(timeline),
  ].filter((finding) => finding !== null);
}

function ending(session: SessionDetail): Finding | null {
  if (isOpen(session.status)) return waiting(session);
  const reason = reasonText(session.reason);
  const because = reason ? `: ${reason}` : "";
  const isBad = session.outcome === "rejected" || session.outcome === "failed";
  const never = session.conversationStartTime === null;
  const what = never ? "This session never started" : "This call ended";
  return {
    tone: isBad ? "bad" : session.outcome === "no_show" ? "warn" : "neutral",
    text: `${what}${because} (${outcomeLabel(session.outcome ?? session.status).toLowerCase()})${never ? waited(session) : ""}.`,
    fix: fixOf(session.reason),
  };
}

/** What an open session waits for before its conversation. */
function waiting({ status, queuePosition }: SessionDetail): Finding | null {
  if (status === "queued") {
    return { tone: "warn", text: `Waiting for a place${queuePosition ? `, at position ${queuePosition}` : ""}.` };
  }
  return status === "ready" ? { tone: "info", text: "The agent is in the room and waits for the caller." } : null;
}

/** How long a session that never started was waited for. */
function waited({ startTime, createdAt, endedAt }: SessionDetail): string {
  const seconds = endedAt === null ? null : secondsSince(startTime ?? createdAt, Date.parse(endedAt));
  if (seconds === null) return "";
  return `, ${duration(seconds)} after ${startTime === null ? "the request" : "the agent was in the room"}`;
}

/** Why the scheduler last refused each node to a session that waits, or that never got one. */
function refusals(session: SessionDetail, timeline: Timeline): Finding | null {
  if (session.startTime !== null || (isOpen(session.status) && session.status !== "queued")) return null;
  const last = timeline.entries.findLast((entry) => considered(entry).length > 0);
  const refused = last ? considered(last).filter(({ verdict }) => verdict === "refused") : [];
  if (refused.length === 0) return null;
  const each = refused.map(({ nodeId, verdict, why }) => `${nodeId}: ${why || verdict.replaceAll("_", " ")}`);
  return { tone: "neutral", text: `The scheduler refused ${count(refused.length, "node")}: ${each.join("; ")}.` };
}

function start(session: SessionDetail, timeline: Timeline): Finding | null {
  const last = timeline.start.reduce<(typeof timeline.start)[number] | null>(
    (longest, stage) => (longest && longest.endMs - longest.beginMs >= stage.endMs - stage.beginMs ? longest : stage),
    null,
  );
  if (session.startMs === null || last === null) return null;
  const longest = `most of it: ${stageName(last.name, last.label)}, ${latency(last.endMs - last.beginMs)}`;
  return {
    tone: "neutral",
    text: `${latency(session.startMs)} from the request to the first audio heard; ${longest}.`,
  };
}

function takeovers(session: SessionDetail): Finding[] {
  if (session.takeovers === 0) return [];
  return [
    {
      tone: "warn",
      text: `The agent was replaced ${count(session.takeovers, "time")}; the call went on in epoch ${session.epoch}.`,
    },
  ];
}

/** More are in the table of the turns. */
const MOST_SLOW = 3;

/** The slowest answers, in the order of the call, and the number of the others. */
function slow(timeline: Timeline): Finding[] {
  const all = timeline.turns.flatMap((turn) => {
    const finding = turnFinding(turn);
    return finding ? [{ turn, finding }] : [];
  });
  // A turn of another epoch may have the same number and the same times.
  const found = all.filter(({ finding }, at) => all.findIndex((each) => each.finding.text === finding.text) === at);
  const by = (each: (typeof found)[number]) => excess(each.turn) ?? 0;
  const worst = new Set([...found].sort((a, b) => by(b) - by(a)).slice(0, MOST_SLOW));
  const told = found.filter((each) => worst.has(each)).map(({ finding }) => finding);
  const others = found.length - told.length;
  return others === 0
    ? told
    : [...told, { tone: "warn", text: `${count(others, "other turn")} took longer than the budget: see the table.` }];
}

/** Why a turn was slow; null within the budget. */
export function turnFinding(turn: TurnTiming): Finding | null {
  const over = excess(turn);
  if (over === null && !turn.overBudget) return null;
  const guilty = turn.stages.find((stage) => stage.name === turn.overBudget);
  const blame = guilty
    ? `: ${stageName(guilty.name, guilty.label)} took ${latency(guilty.ms)}`
    : turn.overBudget
      ? `: ${stageName(turn.overBudget)} broke it`
      : "";
  return {
    tone: "warn",
    text: `Turn ${turn.n} took ${latency(turn.totalMs)}, ${latency(over ?? 0)} over its budget of ${latency(turn.budgetMs)}${blame}.`,
  };
}

function faults(timeline: Timeline): Finding[] {
  const found = timeline.entries.filter((entry) => entry.kind === "fault" && !isNetwork(entry));
  const times = new Map<string, number>();
  for (const { title } of found) times.set(title, (times.get(title) ?? 0) + 1);
  return [...times].slice(0, 3).map(([title, n]) => {
    const isBad = found.some((entry) => entry.title === title && entry.level === "error");
    return { tone: isBad ? "bad" : "warn", text: n > 1 ? `${ended(title)} (${n} times)` : ended(title) };
  });
}

function isNetwork({ kind, detail }: Entry): boolean {
  return kind === "fault" && detail.provider === "network";
}

/** The gaps in the caller's network. One that has not ended has no time yet. */
function network(timeline: Timeline): Finding | null {
  const told = timeline.entries.filter(isNetwork);
  const gaps = told.flatMap(({ detail }) => (typeof detail.ms === "number" ? [detail.ms] : []));
  const last = told.at(-1);
  if (!last) return null;
  const inAll = latency(gaps.reduce((sum, ms) => sum + ms, 0));
  const text = gaps.length > 1 ? `The caller's network was lost ${gaps.length} times, ${inAll} in all` : last.title;
  return { tone: "warn", text: ended(text) };
}

function ended(sentence: string): string {
  return /[.!?]$/.test(sentence) ? sentence : `${sentence}.`;
}

/** The nodes that the scheduler looked at, and why it refused them. */
export function considered(entry: Entry): Considered[] {
  const listed = entry.detail.considered;
  if (!Array.isArray(listed)) return [];
  return listed.flatMap((each) => {
    const { nodeId, verdict, why } = (each ?? {}) as Record<string, unknown>;
    return typeof nodeId === "string"
      ? [{ nodeId, verdict: typeof verdict === "string" ? verdict : "", why: typeof why === "string" ? why : "" }]
      : [];
  });
}

/** The facts of an entry that its title may leave out. */
export function facts(entry: Entry): [string, string][] {
  return Object.entries(entry.detail)
    .filter(([name, value]) => name !== "considered" && value !== null && value !== "" && !isEmpty(value))
    .map(([name, value]) => [spaced(name), said(value)]);
}

function isEmpty(value: unknown): boolean {
  return typeof value === "object" && value !== null && Object.keys(value).length === 0;
}

/** `{llm: 400, tts: 90}` is "llm 400, tts 90". */
function said(value: unknown): string {
  if (Array.isArray(value)) return value.map(said).join(", ");
  if (typeof value !== "object" || value === null) return String(value);
  return Object.entries(value)
    .map(([name, each]) => `${spaced(name)} ${said(each)}`)
    .join(", ");
}

function spaced(name: string): string {
  return name
    .replace(/([a-z0-9])([A-Z])/g, "$1 $2")
    .replaceAll("_", " ")
    .toLowerCase();
}
