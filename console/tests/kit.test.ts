import { createElement } from "react";
import { renderToStaticMarkup } from "react-dom/server";
import { afterEach, expect, test, vi } from "vitest";
import { get, Problem, post } from "../src/api/client";
import { consoleQuery } from "../src/api/queries";
import { IDLE, mediaProblem, spokenState } from "../src/domain/call";
import { Copy, Failure } from "../src/parts/kit";
import { Spoken } from "../src/parts/spoken";

afterEach(() => vi.unstubAllGlobals());

const copy = () => renderToStaticMarkup(createElement(Copy, { text: "t", label: "the trace's id" }));

test("no button copies where the browser has no clipboard for the page", () => {
  vi.stubGlobal("navigator", {});
  expect(copy()).toBe("");
  vi.stubGlobal("navigator", { clipboard: {} });
  expect(copy()).toContain('Copy<span class="visually-hidden"> the trace&#x27;s id</span>');
});

test("a call without media names the way to LiveKit, and a microphone that is refused the browser", () => {
  const shown = (name: string, message: string) => {
    const error = Object.assign(new Error(message), { name });
    const problem = new Problem(mediaProblem(error, "wss://voice.example"));
    return renderToStaticMarkup(createElement(Failure, { error: problem }));
  };
  const unconnected = shown("ConnectionError", "could not establish pc connection");
  expect(unconnected).toContain("The call&#x27;s media does not connect");
  expect(unconnected).toContain(
    "could not establish pc connection. Check that this browser reaches LiveKit at wss://voice.example",
  );
  expect(shown("NotAllowedError", "Permission denied.")).toContain("Permission denied. Allow the microphone");
});

test("a question is asked again by the page, and what a person asked for is not", async () => {
  vi.stubGlobal("document", { baseURI: "https://voice.example/console/" });
  vi.stubGlobal("sessionStorage", { getItem: () => null });
  vi.stubGlobal("fetch", () => Promise.reject(new TypeError("Failed to fetch")));
  const problem = (asked: Promise<unknown>): Promise<Problem> =>
    asked.then(
      () => Promise.reject(new Error("it was answered")),
      (error: unknown) => error as Problem,
    );

  expect((await problem(get("/v1/console"))).body.fix).toContain("The page retries by itself.");
  expect((await problem(post("/nodes/n1/drain", {}))).body.fix).toContain("look before you try again");
});

test("the console asks again while the gateway is away", () => {
  const interval = consoleQuery.refetchInterval as (query: { state: { error: unknown } }) => number | false;
  const after = (status: number) =>
    interval({ state: { error: new Problem({ ...mediaProblem(new Error("m"), null), status }) } });

  expect([after(0), after(503)]).toEqual([3000, 3000]);
  expect([after(401), interval({ state: { error: null } })]).toEqual([false, false]);
});

test("each change of a call is told to a reader who does not see it", () => {
  const phases = ["idle", "asked", "talking", "ended"] as const;
  const told = phases.map((phase) => spokenState({ ...IDLE, phase }));
  expect(told[0]).toBe("");
  expect(new Set(told).size).toBe(phases.length);
});

test("of a transcript whose key is lost the words that are left are shown", () => {
  const turn = (n: number, agent: string | null) => ({
    ...{ n, epoch: 1, at: "2026-11-29T10:00:00Z", offsetMs: 0, user: null, agent },
    ...{ interrupted: false, isOpening: false, tools: [] },
  });
  const spoken = (...turns: ReturnType<typeof turn>[]) =>
    renderToStaticMarkup(
      createElement(Spoken, {
        transcript: { sessionId: "s", language: null, erased: false, unreadable: true, turns },
        isOver: true,
      }),
    );

  expect(spoken(turn(0, null))).toContain("The words of this session cannot be opened.");
  const some = spoken(turn(0, "Hello."), turn(1, null));
  expect(some).toContain("Some words of this session cannot be opened.");
  expect(some.match(/<li>/g)).toHaveLength(1);
  expect(some).toContain("Hello.");
});
