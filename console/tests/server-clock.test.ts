import { expect, test } from "vitest";
import { offsetMs } from "../src/domain/server-clock";

const DATE = "Sun, 29 Nov 2026 10:00:00 GMT";
const AT = Date.parse("2026-11-29T10:00:00Z");

test("clocks that may agree have no offset", () => {
  expect(offsetMs(DATE, AT + 400, AT + 450)).toBe(0);
  expect(offsetMs(DATE, AT + 1900, AT + 1950)).toBe(0);
  expect(offsetMs(DATE, AT - 3000, AT + 100)).toBe(0);
});

test("a browser that is ahead or behind is corrected within a second", () => {
  const fiveMinutes = 300_000;
  expect(Math.abs((offsetMs(DATE, AT + fiveMinutes, AT + fiveMinutes + 20) ?? 0) + fiveMinutes)).toBeLessThan(1001);
  expect(Math.abs((offsetMs(DATE, AT - fiveMinutes, AT - fiveMinutes + 20) ?? 0) - fiveMinutes)).toBeLessThan(1001);
});

test("an answer without a date says nothing", () => {
  expect([offsetMs(null, AT, AT), offsetMs("yesterday", AT, AT)]).toEqual([null, null]);
});
