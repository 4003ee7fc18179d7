import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import type { Entry, SessionDetail, Timeline, TurnTiming } from "../src/api/types";
import { fixOf, REASONS, reasonText } from "../src/domain/endings";
import { considered, facts, findings } from "../src/domain/story";
import { stageName, state } from "../src/domain/words";

const session = (changes: Partial<SessionDetail> = {}): SessionDetail => ({
  sessionId: "session_a",
  status: "ended",
  userName: "Anna",
  userId: "Anna",
  language: null,
  voiceId: "Ashley",
  metadata: {},
  nodeId: "n1",
  epoch: 1,
  createdAt: "2026-11-29T10:00:00Z",
  startTime: "2026-11-29T10:00:00Z",
  conversationStartTime: "2026-11-29T10:00:01Z",
  endedAt: "2026-11-29T10:01:00Z",
  outcome: "completed",
  reason: "requested",
  startMs: null,
  durationSeconds: 59,
  minutes: 1,
  credits: 1,
  turns: 2,
  lastTurn: null,
  takeovers: 0,
  erased: false,
  traceId: null,
  openingLine: null,
  systemPrompt: null,
  tools: [],
  grantedMinutes: null,
  agentPid: null,
  logFile: null,
  queuePosition: null,
  ...changes,
});

const entry = (changes: Partial<Entry>): Entry => ({
  seq: 1,
  kind: "ended",
  at: "2026-11-29T10:00:00Z",
  offsetMs: 0,
  epoch: null,
  nodeId: null,
  title: "The session ended",
  level: "info",
  detail: {},
  ...changes,
});

const timeline = (changes: Partial<Timeline> = {}): Timeline => ({
  sessionId: "session_a",
  status: "ended",
  createdAt: "2026-11-29T10:00:00Z",
  traceId: null,
  turnBudgetMs: 1200,
  start: [],
  entries: [],
  turns: [],
  outcome: "completed",
  reason: "requested",
  ...changes,
});

const texts = (s: SessionDetail, t: Timeline) => findings(s, t).map((finding) => finding.text);

test("why a session never started is the first sentence", () => {
  const refused = session({
    status: "rejected",
    outcome: "rejected",
    reason: "nodes_draining",
    startTime: null,
    conversationStartTime: null,
    endedAt: "2026-11-29T10:00:30Z",
  });
  const entries = [
    entry({ kind: "queued", detail: { considered: [{ nodeId: "n1", verdict: "refused", why: "full" }] } }),
    entry({
      detail: {
        considered: [
          { nodeId: "n1", verdict: "refused", why: "draining" },
          { nodeId: "n2", verdict: "passed", why: "" },
        ],
      },
    }),
  ];
  expect(findings(refused, timeline({ entries }))).toEqual([
    {
      tone: "bad",
      text: "This session never started: every node was draining (rejected), 30 s after the request.",
      fix: "Start it again when the deploy is done, or add a node before the others drain.",
    },
    { tone: "neutral", text: "The scheduler refused 1 node: n1: draining." },
  ]);
});

test("a caller who never came was waited for since the agent was in the room", () => {
  const noShow = session({ outcome: "no_show", reason: "caller_never_joined", conversationStartTime: null });
  const found = findings(noShow, timeline())[0];
  expect(found?.text).toBe(
    "This session never started: the caller never joined the room (no show), 1 min 00 s after the agent was in the room.",
  );
  expect(found?.fix).toContain("CALLER_JOIN_TIMEOUT_S");
});

const troubleshooting = readFileSync(new URL("../../docs/troubleshooting.md", import.meta.url), "utf8");
const rows = troubleshooting
  .split("\n")
  .map((line) => line.split("|").map((cell) => cell.trim()))
  .filter((cells) => cells.length === 6 && /^(rejected|failed|no_show|completed)$/.test(cells[1] ?? ""))
  .flatMap(([, , reasons = "", , fix]) =>
    [...reasons.matchAll(/`(\w+)/g)].map(([, reason = ""]) => ({ reason, hasFix: fix !== "" })),
  );

test("each reason of the troubleshooting page is explained, with a fix where that page has one", () => {
  expect(rows.length).toBeGreaterThan(20);
  for (const { reason, hasFix } of rows) {
    expect(REASONS).toContain(reason);
    expect([reason, fixOf(reason) !== null]).toEqual([reason, hasFix]);
  }
});

test("the stages of a start have plain names where only their wire names are known", () => {
  for (const name of ["pool_wait", "go", "join", "publish", "tts_connected", "joined", "heard"]) {
    expect(stageName(name)).toMatch(/ .* /);
  }
});

const turn: TurnTiming = {
  n: 2,
  epoch: 1,
  at: "2026-11-29T10:00:09Z",
  offsetMs: 9000,
  interrupted: false,
  totalMs: 2100,
  budgetMs: 1200,
  overBudget: "llm",
  stages: [{ name: "llm", label: "model, first token", ms: 1400 }],
};

test("why an answer was slow names the stage that broke the budget", () => {
  expect(texts(session(), timeline({ turns: [{ ...turn, n: 1, totalMs: 700, overBudget: null }, turn] }))).toEqual([
    "This call ended: a client ended it (completed).",
    "Turn 2 took 2.10 s, 900 ms over its budget of 1.20 s: model, first words took 1.40 s.",
  ]);
});

test("of many slow answers the slowest are told, and how many others there were", () => {
  const turns = [1300, 4000, 1400, 9000, 5000].map((totalMs, at) => ({ ...turn, n: at + 1, totalMs }));
  const told = texts(session(), timeline({ turns })).slice(1);
  expect(told.map((text) => text.slice(0, 19))).toEqual([
    "Turn 2 took 4.00 s,",
    "Turn 4 took 9.00 s,",
    "Turn 5 took 5.00 s,",
    "2 other turns took ",
  ]);
});

test("what a session waits for before its conversation is told", () => {
  const open = { outcome: null, reason: null, endedAt: null, conversationStartTime: null };
  const entries = [
    entry({ kind: "queued", detail: { considered: [{ nodeId: "n1", verdict: "refused", why: "full" }] } }),
  ];
  const queued = session({ ...open, status: "queued", startTime: null, queuePosition: 3 });
  expect(texts(queued, timeline({ entries }))).toEqual([
    "Waiting for a place, at position 3.",
    "The scheduler refused 1 node: n1: full.",
  ]);
  expect(texts(session({ ...open, status: "starting", startTime: null }), timeline({ entries }))).toEqual([]);
  expect(texts(session({ ...open, status: "ready" }), timeline())).toEqual([
    "The agent is in the room and waits for the caller.",
  ]);
});

test("the start says what took the most", () => {
  const start = [
    { name: "accepted", label: "the gateway accepts the start", beginMs: 0, endMs: 12 },
    { name: "join", label: "the agent joins the room", beginMs: 20, endMs: 130 },
  ];
  expect(texts(session({ startMs: 640 }), timeline({ start }))[1]).toBe(
    "640 ms from the request to the first audio heard; most of it: the agent joins the room, 110 ms.",
  );
});

test("take-overs and faults are told", () => {
  const told = texts(
    session({ takeovers: 1, epoch: 2 }),
    timeline({ entries: [entry({ kind: "fault", title: "The voice was silent for 3 s", level: "warning" })] }),
  );
  expect(told.slice(1)).toEqual([
    "The agent was replaced 1 time; the call went on in epoch 2.",
    "The voice was silent for 3 s.",
  ]);
});

test("what the scheduler considered is read from any entry, and what is malformed is left out", () => {
  const odd = entry({ detail: { considered: [{ nodeId: "n1", verdict: "refused", why: "draining" }, null, 7, {}] } });
  expect(considered(odd)).toEqual([{ nodeId: "n1", verdict: "refused", why: "draining" }]);
  expect(considered(entry({}))).toEqual([]);
});

test("facts are named in words, without empty ones", () => {
  const known = facts(
    entry({ detail: { billableMs: 5, cause: "", tools: [], at: null, considered: [], over_budget: true } }),
  );
  expect(known).toEqual([
    ["billable ms", "5"],
    ["over budget", "true"],
  ]);
});

test("facts within facts are read out, however deep", () => {
  const known = facts(
    entry({ detail: { stageMs: { llm: 400, tts: 90 }, nothing: {}, tools: [{ name: "time", ms: 3 }, "other"] } }),
  );
  expect(known).toEqual([
    ["stage ms", "llm 400, tts 90"],
    ["tools", "name time, ms 3, other"],
  ]);
});

test("a fault that comes again is told once, with its number", () => {
  const fault = (title: string) => entry({ kind: "fault", title, level: "warning" });
  const entries = [fault("The voice was silent"), fault("The model was silent"), fault("The voice was silent")];
  expect(texts(session(), timeline({ entries })).slice(1)).toEqual([
    "The voice was silent. (2 times)",
    "The model was silent.",
  ]);
});

test("a network that is lost again and again is one finding, behind the providers' faults", () => {
  const lost = (ms: number | null) =>
    entry({ kind: "fault", title: `lost ${ms}`, level: "warning", detail: { provider: "network", kind: "lost", ms } });
  const voice = entry({ kind: "fault", title: "The voice was silent", level: "warning" });
  const told = (...entries: Entry[]) => texts(session(), timeline({ entries })).slice(1);
  expect(told(lost(null))).toEqual(["lost null."]);
  expect(told(lost(null), lost(3_200))).toEqual(["lost 3200."]);
  expect(told(lost(null), lost(3_200), lost(null), lost(9_200), voice)).toEqual([
    "The voice was silent.",
    "The caller's network was lost 2 times, 12.4 s in all.",
  ]);
});

test("a name of a newer gateway is shown unchanged", () => {
  expect(reasonText("provider_failed:tts")).toBe("a provider became unusable: the voice");
  expect(reasonText("something_new")).toBe("something new");
  expect(state({ status: "ended", outcome: "completed" })).toEqual({ label: "Completed", tone: "neutral" });
  expect(state({ status: "paused" as never, outcome: null })).toEqual({ label: "paused", tone: "neutral" });
});
