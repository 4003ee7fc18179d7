/** Requests to the gateway: the API key in a header, and every failure as a `Problem` that says what to do next. */

import { EventSourceParserStream } from "eventsource-parser/stream";
import { apiKey, refuseKey } from "./key";
import { noteAnswer } from "./server-clock";
import type { ProblemBody } from "./types";

const REQUEST_MS = 15_000;

/** The gateway's address with its prefix: the page is at `<prefix>/console/`. */
function address(path: string): string {
  return new URL(`..${path}`, document.baseURI).href;
}

export class Problem extends Error {
  readonly body: ProblemBody;

  constructor(body: ProblemBody) {
    super(body.title);
    this.body = body;
  }

  get status(): number {
    return this.body.status;
  }

  get code(): string {
    return this.body.code;
  }
}

export function isProblem(error: unknown, code: string): boolean {
  return error instanceof Problem && error.code === code;
}

const UNREACHABLE: ProblemBody = {
  title: "The gateway does not answer",
  status: 0,
  detail: "The request did not reach the gateway, or its answer did not come back.",
  code: "unreachable",
  fix: "Check that the gateway runs (greenroom doctor) and that this machine reaches it. The page retries by itself.",
  retryable: true,
  request_id: "",
};

/** For what a person asked for: nothing repeats it. */
const UNANSWERED_FIX =
  "Check that the gateway runs (greenroom doctor) and that this machine reaches it. It may have done what was asked: look before you try again.";

export async function get<T>(path: string, signal?: AbortSignal): Promise<T> {
  const answer = await send(path, { signal: withDeadline(signal) });
  return (await answer.json()) as T;
}

/** What the gateway answers to another key than the tab's. */
export async function getWithKey<T>(path: string, key: string): Promise<T> {
  return (await (await send(path, { headers: { "X-API-Key": key }, signal: withDeadline() })).json()) as T;
}

export async function post<T>(path: string, body: unknown): Promise<T> {
  const answer = await send(path, {
    method: "POST",
    body: JSON.stringify(body),
    headers: { "Content-Type": "application/json" },
    signal: withDeadline(),
  });
  return (await answer.json()) as T;
}

export async function text(path: string): Promise<string> {
  return (await send(path, { signal: withDeadline() })).text();
}

/** The event that stands for a 204: the stream has ended, and nothing came after the last event. */
export const NOTHING_MORE = "nothing more";

export interface ServerEvent {
  id: string | undefined;
  event: string | undefined;
  data: string;
}

/**
 * The events of a stream (Server-Sent Events), read by `fetch`: an EventSource sends no API key.
 *
 * `onBytes` is called for everything that arrives, comments too, so that a silent connection is told from an idle one.
 */
export async function* events(path: string, init: RequestInit, onBytes?: () => void): AsyncGenerator<ServerEvent> {
  const headers = { Accept: "text/event-stream", ...(init.headers as Record<string, string> | undefined) };
  const answer = await send(path, { ...init, headers });
  if (answer.status === 204) yield { id: undefined, event: NOTHING_MORE, data: "" };
  if (!answer.body) return;
  const counted = new TransformStream<Uint8Array, Uint8Array>({
    transform(piece, to) {
      onBytes?.();
      to.enqueue(piece);
    },
  });
  const reader = answer.body
    .pipeThrough(counted)
    .pipeThrough(new TextDecoderStream() as ReadableWritablePair<string, Uint8Array>)
    .pipeThrough(new EventSourceParserStream())
    .getReader();
  try {
    for (let next = await reader.read(); !next.done; next = await reader.read()) {
      yield { id: next.value.id, event: next.value.event, data: next.value.data };
    }
  } finally {
    await reader.cancel().catch(() => undefined);
  }
}

function withDeadline(signal?: AbortSignal): AbortSignal {
  const deadline = AbortSignal.timeout(REQUEST_MS);
  return signal ? AbortSignal.any([signal, deadline]) : deadline;
}

async function send(path: string, init: RequestInit): Promise<Response> {
  const key = apiKey();
  const headers = { ...(key ? { "X-API-Key": key } : {}), ...(init.headers as Record<string, string> | undefined) };
  let answer: Response;
  const sentMs = Date.now();
  try {
    answer = await fetch(address(path), { ...init, headers, cache: "no-store", credentials: "omit" });
  } catch (error) {
    if (init.signal?.aborted && init.signal.reason?.name === "AbortError") throw error;
    throw new Problem(init.method === "POST" ? { ...UNREACHABLE, fix: UNANSWERED_FIX } : UNREACHABLE);
  }
  noteAnswer(answer, sentMs);
  if (answer.ok) return answer;
  const problem = new Problem(await problemOf(answer));
  if (problem.status === 401 && apiKey() === key) refuseKey();
  throw problem;
}

async function problemOf(answer: Response): Promise<ProblemBody> {
  try {
    const body = (await answer.json()) as Partial<ProblemBody>;
    if (body.title && body.code) {
      return { ...UNREACHABLE, retryable: false, detail: "", fix: "", ...body, status: answer.status };
    }
  } catch {
    // A proxy answered: its page is of no use here.
  }
  return {
    ...UNREACHABLE,
    title: `The gateway's address answered ${answer.status}`,
    detail: "The answer is not the gateway's: something between answers in its place.",
    status: answer.status,
    code: "foreign_answer",
  };
}
