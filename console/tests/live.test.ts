import { expect, test } from "vitest";
import { isBilled, newQueryClient, pollMsOf } from "../src/api/queries";
import type { SessionSummary } from "../src/api/types";
import { type Filter, isFurther, listed, type Told, withTold } from "../src/domain/live";

const session = (changes: Partial<SessionSummary> = {}): SessionSummary => ({
  sessionId: "session_a",
  status: "active",
  userName: "Anna",
  userId: "anna-1",
  language: null,
  voiceId: null,
  metadata: {},
  nodeId: "n1",
  epoch: 1,
  createdAt: "2026-11-29T10:00:00Z",
  startTime: null,
  conversationStartTime: null,
  endedAt: null,
  outcome: null,
  reason: null,
  startMs: null,
  durationSeconds: null,
  minutes: null,
  credits: null,
  turns: 2,
  lastTurn: null,
  takeovers: 0,
  erased: false,
  traceId: null,
  ...changes,
});

const NOTHING: Told = new Map();
const OPEN: Filter = { user: "", outcome: "", group: "open" };
const OVER: Filter = { user: "", outcome: "", group: "over" };
const ids = (sessions: SessionSummary[]) => sessions.map((each) => each.sessionId);
const told = (...changes: SessionSummary[]) => changes.reduce(withTold, NOTHING);
const ENDED = session({ status: "ended", outcome: "completed" });

test("what the stream told before the answer came is shown, whatever the answer left out", () => {
  const older = session({ sessionId: "session_old", createdAt: "2026-11-29T08:00:00Z" });
  expect(ids(listed([session()], told(older), OPEN))).toEqual(["session_a", "session_old"]);
});

test("an ended call leaves the running ones for the recent ones, by the stream or by the answer", () => {
  expect(listed([session()], told(ENDED), OPEN)).toEqual([]);
  expect(ids(listed([], told(session(), ENDED), OVER))).toEqual(["session_a"]);
  const billed = { ...ENDED, credits: 1 };
  expect(listed([billed], told(session()), OVER)).toEqual([billed]);
});

test("an answer older than the stream does not bring a call back, nor take its bill away", () => {
  const billed = { ...ENDED, credits: 1 };
  expect(listed([ENDED], told(billed), OVER)).toEqual([billed]);
  expect(listed([session({ turns: 1 })], told(session({ turns: 2 })), OPEN)[0]?.turns).toBe(2);
});

test("a state is further on by erasure, bill, end, epoch, status and turns, in this order", () => {
  const states = [
    session({ status: "queued", epoch: 0, turns: 0 }),
    session({ status: "starting", turns: 0 }),
    session({ turns: 1 }),
    session({ turns: 2 }),
    session({ status: "starting", epoch: 2 }),
    session({ status: "active", epoch: 2 }),
    { ...ENDED, epoch: 2 },
    { ...ENDED, epoch: 2, credits: 0 },
    { ...ENDED, epoch: 2, credits: 0, erased: true },
  ];
  states.forEach((one, i) => {
    states.forEach((other, j) => {
      expect([i, j, isFurther(one, other)]).toEqual([i, j, i > j]);
    });
  });
});

test("filters keep by name, id and outcome, and the latest start is first", () => {
  const bob = session({ sessionId: "session_b", userName: "Bob", userId: "b", createdAt: "2026-11-29T11:00:00Z" });
  expect(ids(listed([session(), bob], NOTHING, OPEN))).toEqual(["session_b", "session_a"]);
  expect(ids(listed([session(), bob], NOTHING, { ...OPEN, user: "anna-1" }))).toEqual(["session_a"]);
  expect(ids(listed([ENDED], NOTHING, { ...OVER, outcome: "failed" }))).toEqual([]);
});

test("what was told is bounded", () => {
  const many = Array.from({ length: 1200 }, (_, n) => session({ sessionId: `session_${n}` }));
  const kept = told(...many);
  expect([kept.size, kept.has("session_1199"), kept.has("session_0")]).toEqual([1000, true, false]);
});

test("after the stream's end the page asks until the bill is there", () => {
  expect([pollMsOf("live", false), pollMsOf("ended", true)]).toEqual([false, false]);
  expect([pollMsOf("ended", false), pollMsOf("lost"), pollMsOf("refused")]).toEqual([3000, 3000, 3000]);
  expect([isBilled(undefined), isBilled(ENDED), isBilled({ ...ENDED, credits: 0 })]).toEqual([false, false, true]);
});

test("the browser's word that it is offline stops neither reads nor commands", () => {
  const { queries, mutations } = newQueryClient().getDefaultOptions();
  expect([queries?.networkMode, mutations?.networkMode]).toEqual(["always", "always"]);
});
