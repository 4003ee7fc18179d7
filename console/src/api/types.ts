/** The gateway's answers, with the fields that the console reads. `tests/contract.test.ts` compares them with the API's document. */

export type Status = "requested" | "queued" | "starting" | "ready" | "active" | "ended" | "rejected";

export interface Console {
  version: string;
  needsKey: boolean;
  scopes: string[];
  deployment: string | null;
  traceUrl: string | null;
  turnBudgetMs: number;
  creditsPerMinute: number | null;
  defaults: { voiceId: string; systemPrompt: string };
  voices: string[] | null;
}

export interface LastTurn {
  n: number;
  epoch: number;
  at: string;
  latencyMs: number | null;
  overBudget: string | null;
}

export interface SessionSummary {
  sessionId: string;
  status: Status;
  userName: string | null;
  userId: string | null;
  language: string | null;
  voiceId: string | null;
  metadata: Record<string, string>;
  nodeId: string | null;
  epoch: number;
  createdAt: string;
  startTime: string | null;
  conversationStartTime: string | null;
  endedAt: string | null;
  outcome: string | null;
  reason: string | null;
  startMs: number | null;
  durationSeconds: number | null;
  minutes: number | null;
  credits: number | null;
  turns: number;
  lastTurn: LastTurn | null;
  takeovers: number;
  erased: boolean;
  traceId: string | null;
}

export interface SessionDetail extends SessionSummary {
  openingLine: string | null;
  systemPrompt: string | null;
  tools: string[];
  grantedMinutes: number | null;
  agentPid: number | null;
  logFile: string | null;
  queuePosition: number | null;
}

export interface SessionPage {
  items: SessionSummary[];
  nextCursor: string | null;
}

/** A part of the start, in ms since the request. */
export interface Stage {
  name: string;
  label: string;
  beginMs: number;
  endMs: number;
}

export type Level = "info" | "warning" | "error";
export type Detail = string | number | boolean | null | unknown[] | { [name: string]: unknown };

export interface Entry {
  seq: number;
  kind: string;
  at: string;
  offsetMs: number;
  epoch: number | null;
  nodeId: string | null;
  title: string;
  level: Level;
  detail: Record<string, Detail>;
}

export interface TurnStage {
  name: string;
  label: string;
  ms: number;
}

export interface TurnTiming {
  n: number;
  epoch: number;
  at: string;
  offsetMs: number;
  interrupted: boolean;
  totalMs: number | null;
  budgetMs: number;
  overBudget: string | null;
  stages: TurnStage[];
}

export interface Timeline {
  sessionId: string;
  status: Status;
  createdAt: string;
  traceId: string | null;
  turnBudgetMs: number;
  start: Stage[];
  entries: Entry[];
  turns: TurnTiming[];
  outcome: string | null;
  reason: string | null;
}

export interface SpokenTurn {
  n: number;
  epoch: number;
  at: string;
  offsetMs: number;
  user: string | null;
  agent: string | null;
  interrupted: boolean;
  isOpening: boolean;
  tools: { name: string; outcome: string }[];
}

export interface Transcript {
  sessionId: string;
  language: string | null;
  erased: boolean;
  unreadable: boolean;
  turns: SpokenTurn[];
}

export interface EpochBill {
  epoch: number;
  nodeId: string | null;
  servedMs: number;
  faultMs: number;
  billableMs: number;
  spanMs: number | null;
}

export interface LedgerEntry {
  entryId: string;
  kind: string;
  credits: number;
  seconds: number;
  minutes: number;
  at: string;
  note: string;
}

export interface Bill {
  sessionId: string;
  userId: string;
  outcome: string;
  reason: string;
  billableMs: number;
  seconds: number;
  minutes: number;
  credits: number;
  grantedMinutes: number | null;
  settledAt: string;
  epochs: EpochBill[];
  entries: LedgerEntry[];
  differenceMs: number;
  evidence: { endedSeq: number; records: number; logSha256: string; creditsPerMinute: number } | null;
}

export interface Node {
  nodeId: string;
  region: string | null;
  slots: number;
  warm: number;
  busy: number;
  free: number;
  prejoined: number;
  load: number;
  draining: boolean;
  drainSince: string | null;
  drainUntil: string | null;
  version: string | null;
  startedAt: string | null;
  sessions: string[];
}

export interface Dependency {
  ok: boolean;
  detail: string;
  latencyMs: number | null;
}

export interface Stats {
  active: number;
  starting: number;
  queued: number;
  maxBots: number;
  redis: Dependency;
  nats: Dependency;
  livekit: Dependency;
}

/** The body of an error, RFC 9457. */
export interface ProblemBody {
  title: string;
  status: number;
  detail: string;
  code: string;
  fix: string;
  retryable: boolean;
  request_id: string;
  errors?: { field: string; message: string }[];
}

export interface StartReply {
  sessionId: string;
  token: string;
  serverUrl: string;
}

export interface StartProgress {
  sessionId: string;
  stage: "joined" | "speaking";
  stageMs: Record<string, number>;
}
