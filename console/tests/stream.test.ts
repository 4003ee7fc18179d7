import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { events } from "../src/api/client";
import { follow, type Link, nextAttempt, pauseMs } from "../src/api/stream";

const storage = new Map<string, string>();
let asked: { url: string; headers: Record<string, string> }[] = [];

beforeEach(() => {
  asked = [];
  storage.clear();
  vi.stubGlobal("sessionStorage", {
    getItem: (name: string) => storage.get(name) ?? null,
    setItem: (name: string, value: string) => storage.set(name, value),
    removeItem: (name: string) => storage.delete(name),
  });
  vi.stubGlobal("document", { baseURI: "https://voice.example/greenroom/console/" });
});
afterEach(() => vi.unstubAllGlobals());

/** Answers each request in turn; the last answer repeats. */
function answers(...made: (() => Response)[]) {
  vi.stubGlobal("fetch", async (url: string, init: RequestInit) => {
    asked.push({ url, headers: init.headers as Record<string, string> });
    const answer = made[Math.min(asked.length, made.length) - 1];
    if (!answer) throw new Error("no answer");
    return answer();
  });
}

function stream(...pieces: string[]): Response {
  const bytes = new TextEncoder();
  return new Response(
    new ReadableStream({
      start(to) {
        for (const piece of pieces) to.enqueue(bytes.encode(piece));
        to.close();
      },
    }),
  );
}

test("events are read across pieces, with the key in a header and never in the address", async () => {
  storage.set("greenroom.key", "k".repeat(32));
  answers(() => stream(": hello\n\nid: 3\nevent: tu", 'rn\ndata: {"n":1}\n', "\n"));
  const found = [];
  for await (const event of events("/v1/events", {})) found.push(event);

  expect(found).toEqual([{ id: "3", event: "turn", data: '{"n":1}' }]);
  expect(asked[0]?.url).toBe("https://voice.example/greenroom/v1/events");
  expect(asked[0]?.headers).toMatchObject({ "X-API-Key": "k".repeat(32), Accept: "text/event-stream" });
});

test("a broken stream is said to be lost, and goes on after its last event", async () => {
  answers(
    () => stream("id: 7\nevent: turn\ndata: {}\n\n"),
    () => stream("id: 8\nevent: billed\ndata: {}\n\n"),
  );
  const links: Link[] = [];
  const seen: (string | undefined)[] = [];
  await follow({
    path: "/v1/sessions/a/events",
    onEvent: ({ event }) => {
      seen.push(event);
      return event === "billed";
    },
    onLink: (link) => links.push(link),
    signal: new AbortController().signal,
  });

  expect(seen).toEqual(["turn", "billed"]);
  expect(links).toEqual(["live", "lost", "live", "ended"]);
  expect(asked.map((each) => each.headers["Last-Event-ID"])).toEqual([undefined, "7"]);
});

test("an answer that would come again is not asked for again", async () => {
  answers(() => new Response(JSON.stringify({ title: "Forbidden", code: "forbidden" }), { status: 403 }));
  const links: Link[] = [];
  const signal = new AbortController().signal;
  await follow({ path: "/v1/events", onEvent: () => undefined, onLink: (link) => links.push(link), signal });

  expect([asked.length, links]).toEqual([1, ["refused"]]);
});

test("pauses grow to ten seconds and are spread", () => {
  expect([0, 1, 2, 50].map((attempt) => pauseMs(attempt, 1))).toEqual([500, 1000, 2000, 10_000]);
  expect(pauseMs(1, 0)).toBe(500);
});

test("only a connection that lived for ten seconds makes the pauses short again", () => {
  expect([nextAttempt(-1, 0), nextAttempt(3, 50), nextAttempt(3, 9_999), nextAttempt(3, 10_000)]).toEqual([0, 4, 4, 0]);
});
