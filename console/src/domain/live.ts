/** The lists of the Live page: what the gateway answered, and what its stream told since. */

import type { SessionSummary, Status } from "../api/types";

export interface Filter {
  user: string;
  outcome: string;
  group: "open" | "over";
}

export const GROUPS: Record<Filter["group"], readonly Status[]> = {
  open: ["requested", "queued", "starting", "ready", "active"],
  over: ["ended", "rejected"],
};

const ORDER: readonly string[] = [...GROUPS.open, ...GROUPS.over];

/** What was told last of each session. */
export type Told = ReadonlyMap<string, SessionSummary>;

const MOST_TOLD = 1000;

export function withTold(told: Told, changed: SessionSummary): Told {
  const others = [...told].filter(([id]) => id !== changed.sessionId).slice(1 - MOST_TOLD);
  return new Map([...others, [changed.sessionId, changed]]);
}

/**
 * The sessions of a list, the latest start first.
 *
 * An answer may be older than what the stream told, and the other way round, so of each session the state that is
 * further on counts.
 */
export function listed(answered: readonly SessionSummary[], told: Told, filter: Filter): SessionSummary[] {
  const known = new Map(answered.map((session) => [session.sessionId, session]));
  for (const [id, session] of told) {
    const other = known.get(id);
    if (!other || !isFurther(other, session)) known.set(id, session);
  }
  return [...known.values()]
    .filter((session) => fits(session, filter))
    .sort((a, b) => b.createdAt.localeCompare(a.createdAt));
}

/** Whether `a` is a later state of its session than `b`. */
export function isFurther(a: SessionSummary, b: SessionSummary): boolean {
  const [left, right] = [progress(a), progress(b)];
  const at = left.findIndex((value, i) => value !== right[i]);
  return at >= 0 && (left[at] ?? 0) > (right[at] ?? 0);
}

/** A sort key that only grows while a session goes on: compared number by number, the later state is the greater. */
function progress(session: SessionSummary): number[] {
  const isOver = GROUPS.over.includes(session.status);
  return [
    Number(session.erased),
    Number(session.credits !== null),
    Number(isOver),
    session.epoch,
    ORDER.indexOf(session.status),
    session.turns,
  ];
}

function fits(session: SessionSummary, { user, outcome, group }: Filter): boolean {
  return (
    (!user || session.userName === user || session.userId === user) &&
    GROUPS[group].includes(session.status) &&
    (!outcome || session.outcome === outcome)
  );
}
