import { expect, test } from "vitest";
import { conversation, type Piece } from "../src/domain/captions";

const piece = (changes: Partial<Piece>): Piece => ({
  id: "1",
  segment: undefined,
  from: "agent:a",
  text: "Hello.",
  atMs: 1,
  ...changes,
});

test("the last version of a caption stands where its first began", () => {
  const lines = conversation(
    [
      piece({ id: "1", segment: "s1", text: "What", from: "caller:a", atMs: 1 }),
      piece({ id: "2", segment: "s2", text: "Hi.", atMs: 2 }),
      piece({ id: "3", segment: "s1", text: "What time is it?", from: "caller:a", atMs: 3 }),
    ],
    [],
  );
  expect(lines.map((line) => line.text)).toEqual(["What time is it?", "Hi."]);
});

test("typed text stands among the captions, and empty ones do not show", () => {
  const lines = conversation(
    [piece({ atMs: 1 }), piece({ id: "2", text: "  ", atMs: 2 })],
    [piece({ id: "c", from: "caller:a", text: "Hey", atMs: 3 })],
  );
  expect(lines.map(({ text, isAgent, isTyped }) => [text, isAgent, isTyped])).toEqual([
    ["Hello.", true, false],
    ["Hey", false, true],
  ]);
});
