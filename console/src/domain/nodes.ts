/** What the Nodes page says of a drain. */

import type { Node } from "../api/types";
import { clock, duration } from "./format";

/** Whether no other node takes new calls. */
export function isLastAccepting(node: Node, nodes: readonly Node[]): boolean {
  return !node.draining && nodes.every((other) => other.nodeId === node.nodeId || other.draining);
}

/** Since when a node drains, and when it hands over the calls that it still has; an older node says less, or nothing. */
export function drainTimes({ drainSince, drainUntil }: Node, nowMs: number): string {
  const since = drainSince === null ? null : `since ${clock(drainSince, nowMs)}`;
  return [since, drainUntil === null ? null : drainEnd(drainUntil, nowMs)].filter(Boolean).join(", ");
}

function drainEnd(drainUntil: string, nowMs: number): string {
  const leftS = (Date.parse(drainUntil) - nowMs) / 1000;
  const at = clock(drainUntil, nowMs);
  return leftS > 0 ? `ends at ${at} at the latest, in ${duration(leftS)}` : `past its limit, which was ${at}`;
}
