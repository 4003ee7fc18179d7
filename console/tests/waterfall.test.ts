import { expect, test } from "vitest";
import type { Entry, TurnTiming } from "../src/api/types";
import { bars, excess, phases, stageNames, ticks, unmeasured } from "../src/domain/waterfall";

const stage = (name: string, beginMs: number, endMs: number) => ({ name, label: name, beginMs, endMs });

test("bars stand where their stages began and are as wide as these took", () => {
  const { bars: rows, endMs } = bars([stage("accepted", 0, 50), stage("join", 50, 150), stage("heard", 150, 200)]);
  expect(endMs).toBe(200);
  expect(rows.map((bar) => [bar.left, bar.width, bar.ms])).toEqual([
    [0, 25, 50],
    [25, 50, 100],
    [75, 25, 50],
  ]);
});

test("no bar leaves the chart, whatever the stages say", () => {
  const odd = [
    stage("backwards", 90, 10),
    stage("zero", 100, 100),
    stage("early", -20, 5),
    stage("broken", Number.NaN, 7),
  ];
  const { bars: rows } = bars(odd);
  expect(rows.map((bar) => bar.name)).toEqual(["backwards", "zero", "early"]);
  for (const bar of rows) {
    expect(bar.left).toBeGreaterThanOrEqual(0);
    expect(bar.width).toBeGreaterThan(0);
    expect(bar.left + bar.width).toBeLessThanOrEqual(100.001);
    expect(bar.ms).toBeGreaterThanOrEqual(0);
  }
  expect(bars([])).toEqual({ bars: [], endMs: 1 });
});

test("marks of the axis are round", () => {
  expect(ticks(570)).toEqual([0, 100, 200, 300, 400, 500]);
  expect(ticks(2300, 5)).toEqual([0, 500, 1000, 1500, 2000]);
  expect(ticks(0)).toEqual([0]);
});

const turn = (changes: Partial<TurnTiming>): TurnTiming => ({
  n: 1,
  epoch: 1,
  at: "2026-11-29T10:00:00Z",
  offsetMs: 0,
  interrupted: false,
  totalMs: 800,
  budgetMs: 1200,
  overBudget: null,
  stages: [],
  ...changes,
});

test("only a turn over its budget has an excess", () => {
  expect([turn({}), turn({ totalMs: 1200 }), turn({ totalMs: 1900 }), turn({ totalMs: null })].map(excess)).toEqual([
    null,
    null,
    700,
    null,
  ]);
});

test("stages of all turns are named once, in their order", () => {
  const first = turn({ stages: [{ name: "stt", label: "speech to text", ms: 1 }] });
  const second = turn({ stages: [...first.stages, { name: "llm", label: "", ms: 2 }] });
  expect(stageNames([first, second]).map((each) => each.name)).toEqual(["stt", "llm"]);
});

const entry = (kind: string, offsetMs: number, epoch: number | null = null): Entry => ({
  seq: offsetMs,
  kind,
  at: "2026-11-29T10:00:00Z",
  offsetMs,
  epoch,
  nodeId: null,
  title: kind,
  level: "info",
  detail: {},
});

test("a whole session has its start, its conversation, its take-over and its bill", () => {
  const entries = [
    entry("requested", 0),
    entry("assigned", 20, 1),
    entry("agent_ready", 300, 1),
    entry("started", 500),
    entry("agent_stopped", 4000, 1),
    entry("assigned", 4050, 2),
    entry("agent_ready", 4200, 2),
    entry("ended", 9000),
    entry("billed", 9030),
  ];
  expect(phases(entries).map(({ name, beginMs, endMs }) => [name, beginMs, endMs])).toEqual([
    ["start", 0, 500],
    ["conversation", 500, 9000],
    ["takeover", 4000, 4200],
    ["billing", 9000, 9030],
  ]);
});

test("an attempt that brought no agent does not count as a take-over", () => {
  const entries = [
    entry("requested", 0),
    entry("assigned", 20, 1),
    entry("agent_stopped", 900, 1),
    entry("assigned", 950, 2),
    entry("agent_ready", 1200, 2),
    entry("started", 1500),
    entry("assigned", 5050, 3),
    entry("agent_stopped", 5010, 2),
    entry("agent_ready", 5200, 3),
    entry("ended", 9000),
  ];
  expect(phases(entries).map(({ name, label, beginMs }) => [name, label, beginMs])).toEqual([
    ["start", "until both are in the room", 0],
    ["conversation", "the conversation", 1500],
    ["takeover", "take-over by epoch 3", 5010],
  ]);
  expect(phases(entries.filter((each) => each.kind !== "agent_ready")).map((each) => each.name)).not.toContain(
    "takeover",
  );
});

test("a turn without a time says why", () => {
  expect(unmeasured(turn({ totalMs: null }))).toContain("typed or unasked");
  expect(unmeasured(turn({ totalMs: null, interrupted: true }))).not.toContain("typed");
});

test("a session that never started has only the time until its end", () => {
  expect(phases([entry("requested", 0), entry("ended", 700)]).map((each) => each.name)).toEqual(["start"]);
  expect(phases([entry("requested", 0)])).toEqual([]);
});
