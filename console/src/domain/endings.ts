/** Why a session ended, and what to do about it: the table of docs/troubleshooting.md, in the page's own words. */

interface Ending {
  why: string;
  fix?: string;
}

const NODE_LOGS = "Read the nodes' logs; greenroom doctor checks what a node needs.";
const MORE_NODES = "Add nodes";

const ENDINGS: Record<string, Ending> = {
  requested: { why: "a client ended it" },
  ended: { why: "a former leader of the schedulers ended it" },
  caller_left: { why: "the caller left" },
  caller_never_joined: {
    why: "the caller never joined the room",
    fix: "Check that the client connects to serverUrl with its token, that its network lets media through, and that it is faster than CALLER_JOIN_TIMEOUT_S. Then start a new session.",
  },
  room_closed: { why: "another program deleted the room" },
  session_timeout: { why: "it reached the longest call (SESSION_TIMEOUT)" },
  credit_spent: { why: "it used up its minutes" },
  user_idle: {
    why: "the caller was silent",
    fix: "For calls that are silent on purpose set USER_IDLE_PROMPT_S=0 and USER_IDLE_END_S=0.",
  },
  agent_ended: { why: "the agent said goodbye and ended it" },
  provider_failed: {
    why: "a provider became unusable",
    fix: "Check the provider's key and quota with greenroom doctor.",
  },
  queue_full: { why: "too many starts were waiting (MAX_QUEUE)", fix: `Start it again later. ${MORE_NODES}.` },
  queue_deadline: {
    why: "it waited too long for a place (QUEUE_DEADLINE_S)",
    fix: `Start it again later. ${MORE_NODES}.`,
  },
  max_bots: { why: "MAX_BOTS sessions were running", fix: "Start it again later, or raise MAX_BOTS." },
  no_nodes: {
    why: "no node was alive",
    fix: "Start an agent-runner, and look at its log; the Nodes page shows it once it is alive.",
  },
  nodes_draining: {
    why: "every node was draining",
    fix: "Start it again when the deploy is done, or add a node before the others drain.",
  },
  nodes_overloaded: {
    why: "every node with a free slot was overloaded (MAX_LOAD)",
    fix: `${MORE_NODES}, or raise MAX_LOAD.`,
  },
  nodes_failing: { why: "starts failed on every node, and the nodes were suspended", fix: NODE_LOGS },
  no_capacity: { why: "every node was full", fix: `${MORE_NODES}, or raise NODE_SLOTS.` },
  no_other_node: { why: "every able node had just failed to start it", fix: NODE_LOGS },
  start_timeout: { why: "no agent joined in time (BOT_STARTUP_TIMEOUT)", fix: NODE_LOGS },
  attempts_failed: {
    why: "the start failed on as many nodes as may be tried",
    fix: `session.ended in the scheduler's log names them. ${NODE_LOGS}`,
  },
  agent_failed: {
    why: "its agent was lost, and no other could take over (see MAX_TAKEOVERS)",
    fix: "Read the session's log file, which is named below.",
  },
  unreadable_log: {
    why: "a decisive record of it is unreadable",
    fix: "Read the reason in the stream DEAD of NATS, subject dead.unreadable.SESSIONS.",
  },
  words_lost: {
    why: "the key of its words is lost",
    fix: "NATS lost its newest writes or the bucket keys: see the runbook of the lost log. Start the call again.",
  },
};

const PROVIDERS: Record<string, string> = { stt: "speech to text", llm: "the model", tts: "the voice", tool: "a tool" };

export const REASONS = Object.keys(ENDINGS);

/** `provider_failed:tts` is "a provider became unusable: the voice"; a reason of a newer gateway is shown unchanged. */
export function reasonText(reason: string | null): string | null {
  if (!reason) return null;
  const [name = "", provider] = reason.split(":", 2);
  const text = ENDINGS[name]?.why;
  if (!text) return reason.replaceAll("_", " ");
  return provider ? `${text}: ${PROVIDERS[provider] ?? provider}` : text;
}

/** What to do so that the next session ends better; null where nothing is wrong or known. */
export function fixOf(reason: string | null): string | null {
  return ENDINGS[reason?.split(":")[0] ?? ""]?.fix ?? null;
}
