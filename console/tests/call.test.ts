import { expect, test } from "vitest";
import { type CallEvent, IDLE, isOn, newName, step } from "../src/domain/call";

const reply = { sessionId: "session_a", token: "t", serverUrl: "ws://livekit" };
const progress = (stage: "joined" | "speaking") => ({ sessionId: "session_a", stage, stageMs: { join: 100 } });
const after = (...events: CallEvent[]) => events.reduce(step, IDLE);
const ASKED: CallEvent = { kind: "asked", atMs: 1000, hasMicrophone: true };

test("times count from the POST, and the first ones stay", () => {
  const call = after(
    ASKED,
    { kind: "accepted", atMs: 1030, reply },
    { kind: "reached", atMs: 1200, progress: progress("joined") },
    { kind: "heard", atMs: 1570 },
    { kind: "reached", atMs: 1600, progress: progress("speaking") },
    { kind: "heard", atMs: 9000 },
  );
  expect(call).toMatchObject({
    phase: "talking",
    acceptedMs: 30,
    joinedMs: 200,
    firstAudioMs: 570,
    stageMs: { join: 100 },
  });
});

test("a refused start is a failure, but a call that was heard outlives its stream", () => {
  const problem = new Error("no nodes");
  expect(after(ASKED, { kind: "failed", problem })).toMatchObject({ phase: "failed", problem });
  const talking = after(
    ASKED,
    { kind: "accepted", atMs: 1030, reply },
    { kind: "heard", atMs: 1500 },
    { kind: "failed", problem },
  );
  expect(talking).toMatchObject({ phase: "talking", problem: null });
});

test("a new call forgets the last one, and a lost room ends it", () => {
  const ended = after(ASKED, { kind: "accepted", atMs: 1030, reply }, { kind: "left" });
  expect(ended.phase).toBe("ended");
  expect(step(ended, { ...ASKED, atMs: 5000 })).toEqual({ ...IDLE, phase: "asked", askedAt: 5000 });
  expect(step(IDLE, { kind: "left" })).toBe(IDLE);
});

test("a call whose end is refused goes on, and can be ended again", () => {
  const joining = after(ASKED, { kind: "accepted", atMs: 1030, reply });
  const talking = step(joining, { kind: "heard", atMs: 1500 });
  for (const call of [joining, talking]) {
    const ending = step(call, { kind: "ending" });
    expect(step(ending, { kind: "left" })).toBe(ending); // the page itself has left the room
    expect(step(ending, { kind: "end_failed" })).toEqual(call);
    expect(step(ending, { kind: "ended" }).phase).toBe("ended");
  }
});

test("a call is on from the click, before the browser has asked for the microphone", () => {
  const preparing = step(after(ASKED, { kind: "accepted", atMs: 1030, reply }, { kind: "ended" }), {
    kind: "preparing",
  });
  expect([isOn(IDLE), isOn(preparing), preparing.sessionId]).toEqual([false, true, null]);
  expect(isOn(step(preparing, ASKED))).toBe(true);
});

test("a stream that ends before the reply is a failed start, and after it nothing", () => {
  const problem = new Error("cut off");
  expect(after(ASKED, { kind: "closed", problem })).toMatchObject({ phase: "failed", problem });
  const joining = after(ASKED, { kind: "accepted", atMs: 1030, reply });
  expect(step(joining, { kind: "closed", problem })).toBe(joining);
});

test("the name of a start needs no secure page", () => {
  const [one, other] = [newName(), newName()];
  expect([one.length, one === other]).toEqual([32, false]);
});
