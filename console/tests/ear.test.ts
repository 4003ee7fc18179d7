import { expect, test } from "vitest";
import { DEAF, type Ear, listen, thinks, typed } from "../src/domain/ear";

/** Levels every 20 ms for each part: how long, the caller's level, the agent's. */
function heard(parts: [ms: number, caller: number, agent: number][], from: Ear = DEAF): Ear {
  let ear = from;
  let at = from.lastAt ?? 0;
  for (const [ms, caller, agent] of parts) {
    for (const until = at + ms; at < until; at += 20) ear = listen(ear, at, { caller, agent });
  }
  return ear;
}

const QUIET = 0.002;
const latencies = (ear: Ear) => ear.answers.map((answer) => answer.latencyMs);

test("an answer is timed from the caller's last sound to the agent's first", () => {
  const ear = heard([
    [400, QUIET, 0],
    [1000, QUIET, 0.05],
    [2000, QUIET, 0],
    [1000, 0.1, 0],
    [800, QUIET, 0],
    [1000, QUIET, 0.05],
  ]);
  expect(latencies(ear)).toEqual([null, 820]);
  expect(ear.answers[0]?.atMs).toBe(400);
});

test("a pause within an answer begins no second answer, and a cough no turn", () => {
  const ear = heard([
    [1000, QUIET, 0.05],
    [400, QUIET, 0],
    [1000, QUIET, 0.05],
    [1000, QUIET, 0],
    [60, 0.1, 0],
    [900, QUIET, 0],
    [500, QUIET, 0.05],
  ]);
  expect(latencies(ear)).toEqual([null, null]);
});

test("a noisy room is not the caller's speech", () => {
  let ear = heard([[4000, 0.012, 0]]);
  ear = heard(
    [
      [1000, 0.03, 0],
      [500, 0.012, 0.05],
    ],
    ear,
  );
  expect(latencies(ear)).toEqual([null]);
});

test("typed text is timed from when it was sent", () => {
  const ear = heard([[600, QUIET, 0]], typed(heard([[1000, QUIET, 0]]), 1000));
  expect(latencies(heard([[100, QUIET, 0.05]], ear))).toEqual([560]);
});

test("an answer that follows the one before at once counts as another answer when it was asked for", () => {
  const before = heard([
    [1000, QUIET, 0.05],
    [200, QUIET, 0],
  ]);
  const unasked = heard([[500, QUIET, 0.05]], before);
  const asked = heard([[500, QUIET, 0.05]], heard([[200, QUIET, 0]], thinks(typed(before, 1200))));
  expect([latencies(unasked), latencies(asked)]).toEqual([[null], [null, 160]]);
});
