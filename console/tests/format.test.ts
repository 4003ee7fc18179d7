import { expect, test } from "vitest";
import {
  ago,
  clock,
  count,
  duration,
  exactSeconds,
  latency,
  NONE,
  offset,
  percent,
  secondsSince,
  shortId,
  word,
  zone,
} from "../src/domain/format";

test("what is unknown is a dash", () => {
  for (const value of [null, undefined, Number.NaN, Number.POSITIVE_INFINITY]) {
    for (const shown of [latency, exactSeconds, duration, offset, percent]) expect(shown(value)).toBe(NONE);
    expect(count(value, "turn")).toBe(NONE);
  }
  for (const time of [null, undefined, "", "yesterday"]) {
    expect(clock(time)).toBe(NONE);
    expect(secondsSince(time, 0)).toBeNull();
  }
  expect([word(null), word(""), word(0)]).toEqual([NONE, NONE, "0"]);
});

test("how long ago has one unit", () => {
  expect([4, 185, 7_300, 300_000].map(ago)).toEqual(["4 s ago", "3 min ago", "2 h ago", "3 d ago"]);
  expect(ago(null)).toBe(NONE);
});

test("a latency has the unit that fits", () => {
  expect([0, 84.4, 999, 1240, 12_340, 123_400].map(latency)).toEqual([
    "0 ms",
    "84 ms",
    "999 ms",
    "1.24 s",
    "12.3 s",
    "123 s",
  ]);
});

test("a duration counts whole units and is never negative", () => {
  expect([-3, 0.9, 59, 60, 185, 7620, 90_000].map(duration)).toEqual([
    "0 s",
    "0 s",
    "59 s",
    "1 min 00 s",
    "3 min 05 s",
    "2 h 07 min",
    "1 d 1 h",
  ]);
});

test("an offset of the log is aligned", () => {
  expect([0, 570, 61_500, 605_000].map(offset)).toEqual(["+0.00 s", "+0.57 s", "+1:01.5", "+10:05.0"]);
});

test("a time of another day has its date", () => {
  const noon = new Date(2026, 10, 29, 12, 0, 0);
  expect(clock(new Date(2026, 10, 29, 9, 5, 7).toISOString(), noon.getTime())).toBe("09:05:07");
  expect(clock(new Date(2026, 10, 28, 9, 5, 7).toISOString(), noon.getTime())).toBe("2026-11-28 09:05:07");
});

test("one is singular", () => {
  expect([count(1, "credit"), count(2, "credit"), count(0, "credit")]).toEqual(["1 credit", "2 credits", "0 credits"]);
  expect(shortId("session_1795912374951_301f94e1365a")).toBe("…94e1365a");
});

test("a rounded time never has sixty seconds or a thousand milliseconds", () => {
  expect([999.6, 9_996, 99_960].map(latency)).toEqual(["1.00 s", "10.0 s", "100 s"]);
  expect([59_990, 59_996, 119_970, 3_600_000].map(offset)).toEqual(["+59.99 s", "+1:00.0", "+2:00.0", "+60:00.0"]);
});

test.each([
  ["UTC", "UTC"],
  ["Europe/Berlin", "Europe/Berlin, UTC+1"],
  ["America/St_Johns", "America/St_Johns, UTC-3:30"],
])("times say their zone: %s", (name, shown) => {
  const before = process.env.TZ;
  process.env.TZ = name;
  try {
    expect(zone(Date.parse("2026-11-29T12:00:00Z"))).toBe(shown);
  } finally {
    if (before === undefined) delete process.env.TZ;
    else process.env.TZ = before;
  }
});
