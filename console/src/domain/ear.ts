/**
 * What the caller's ear measures: from the caller's last sound to the agent's first, in this browser.
 *
 * The two levels (RMS, 0 to 1) come in every few milliseconds; `listen` is pure. A cough does not count as speech, and a
 * pause within the agent's answer not as its end.
 */

const AGENT_SOUND = 0.004;
const CALLER_SOUND = 0.015;
/** The caller's sound stands out from the room's noise by this factor. */
const ABOVE_NOISE = 4;
/** The agent's silence that ends an answer; a shorter one does once the caller has asked for the next. */
const PAUSE_MS = 700;
const ASKED_PAUSE_MS = 150;
/** A shorter sound of the caller is a cough, not speech. */
const SPEECH_MS = 150;

export interface Answer {
  /** On the page's clock, ms. */
  atMs: number;
  /** From the caller's last sound, or typed text; null: the agent spoke by itself. */
  latencyMs: number | null;
}

export interface Ear {
  noise: number;
  agentSoundedAt: number | null;
  callerSoundMs: number;
  callerSoundedAt: number | null;
  typedAt: number | null;
  /** The agent began to think about what was typed. */
  isThinking: boolean;
  lastAt: number | null;
  answers: readonly Answer[];
}

export const DEAF: Ear = {
  noise: 0.003,
  agentSoundedAt: null,
  callerSoundMs: 0,
  callerSoundedAt: null,
  typedAt: null,
  isThinking: false,
  lastAt: null,
  answers: [],
};

export function listen(ear: Ear, atMs: number, levels: { agent: number; caller: number }): Ear {
  const stepMs = Math.min(100, atMs - (ear.lastAt ?? atMs));
  const isCaller = levels.caller > Math.max(CALLER_SOUND, ear.noise * ABOVE_NOISE);
  let next: Ear = {
    ...ear,
    lastAt: atMs,
    noise: isCaller ? ear.noise : ear.noise * 0.98 + levels.caller * 0.02,
  };
  if (isCaller) next = { ...next, callerSoundedAt: atMs, callerSoundMs: ear.callerSoundMs + stepMs };
  if (levels.agent <= AGENT_SOUND) return next;
  const pauseMs = isAsked(ear) ? ASKED_PAUSE_MS : PAUSE_MS;
  const begins = ear.agentSoundedAt === null || atMs - ear.agentSoundedAt > pauseMs;
  next = { ...next, agentSoundedAt: atMs };
  if (!begins) return next;
  return {
    ...next,
    callerSoundMs: 0,
    typedAt: null,
    isThinking: false,
    answers: [...ear.answers, { atMs, latencyMs: latencyAt(next, atMs) }],
  };
}

export function typed(ear: Ear, atMs: number): Ear {
  return { ...ear, typedAt: atMs, isThinking: false };
}

/** The agent says that it thinks. */
export function thinks(ear: Ear): Ear {
  return { ...ear, isThinking: ear.typedAt !== null };
}

function isAsked(ear: Ear): boolean {
  const spoke = ear.callerSoundMs >= SPEECH_MS && (ear.callerSoundedAt ?? 0) > (ear.agentSoundedAt ?? 0);
  return spoke || ear.isThinking;
}

function latencyAt(ear: Ear, atMs: number): number | null {
  const spoke = ear.callerSoundMs >= SPEECH_MS ? ear.callerSoundedAt : null;
  const asked = Math.max(spoke ?? -1, ear.typedAt ?? -1);
  return asked < 0 ? null : Math.max(0, atMs - asked);
}
