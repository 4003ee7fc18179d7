/** The fields of `src/api/types.ts` are fields of the API's document, which `make docs` writes from the gateway's models. */

import { readFileSync } from "node:fs";
import { expect, test } from "vitest";

const here = (path: string) => readFileSync(new URL(path, import.meta.url), "utf8");
const document = JSON.parse(here("../../docs/api/openapi.json")) as {
  components: { schemas: Record<string, { properties?: Record<string, unknown> }> };
};

/** Where the two have other names. */
const SCHEMA: Record<string, string> = {
  Console: "ConsoleReply",
  SpokenTurn: "TranscriptTurn",
  LedgerEntry: "LedgerEntryView",
  Bill: "SessionBill",
  Node: "NodeView",
  Stats: "StatsReply",
  ProblemBody: "Problem",
};

const interfaces = [
  ...here("../src/api/types.ts").matchAll(/export interface (\w+)(?: extends \w+)? \{\n(.*?)\n\}/gs),
].map(([, name = "", body = ""]) => ({
  name,
  fields: [...body.matchAll(/^ {2}(\w+)\??:/gm)].map((field) => field[1]),
}));

test("the types are found", () => expect(interfaces.length).toBeGreaterThan(15));

test.each(interfaces)("$name has only fields that the gateway sends", ({ name, fields }) => {
  const sent = document.components.schemas[SCHEMA[name] ?? name]?.properties;
  expect(Object.keys(sent ?? {})).toEqual(expect.arrayContaining(fields));
});
