import { expect, test } from "vitest";
import type { Node } from "../src/api/types";
import { drainTimes, isLastAccepting } from "../src/domain/nodes";

const NOW = Date.parse("2026-11-29T14:00:00Z");
const node = (nodeId: string, changes: Partial<Node> = {}): Node => ({
  nodeId,
  region: null,
  slots: 4,
  warm: 2,
  busy: 0,
  free: 4,
  prejoined: 0,
  load: 0,
  draining: false,
  drainSince: null,
  drainUntil: null,
  version: null,
  startedAt: null,
  sessions: [],
  ...changes,
});

test("the last node that takes calls is known from all nodes", () => {
  const [one, two] = [node("n1"), node("n2")];
  expect(isLastAccepting(one, [one])).toBe(true);
  expect(isLastAccepting(one, [one, two])).toBe(false);
  expect(isLastAccepting(one, [one, { ...two, draining: true }])).toBe(true);
  expect(isLastAccepting({ ...one, draining: true }, [{ ...one, draining: true }])).toBe(false);
});

test("a drain says since when, when it ends, and that its limit is past", () => {
  const times = (drainSince: string | null, drainUntil: string | null) =>
    drainTimes(node("n1", { draining: true, drainSince, drainUntil }), NOW);
  const at = String.raw`(\d{4}-\d\d-\d\d )?\d\d:\d\d:\d\d`;
  const began = "2026-11-29T13:55:00Z";
  expect(times(began, "2026-11-29T14:05:00Z")).toMatch(
    new RegExp(`^since ${at}, ends at ${at} at the latest, in 5 min 00 s$`),
  );
  expect(times(null, "2026-11-29T13:59:00Z")).toMatch(new RegExp(`^past its limit, which was ${at}$`));
  expect(times(began, null)).toMatch(new RegExp(`^since ${at}$`));
  expect(times(null, null)).toBe("");
});
