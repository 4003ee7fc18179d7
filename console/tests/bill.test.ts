import { expect, test } from "vitest";
import type { Bill, EpochBill } from "../src/api/types";
import { difference, explain, sentence, soFar } from "../src/domain/bill";

const epoch = (changes: Partial<EpochBill> = {}): EpochBill => ({
  epoch: 1,
  nodeId: "n1",
  servedMs: 15_900,
  faultMs: 0,
  billableMs: 15_900,
  spanMs: null,
  ...changes,
});

const bill = (changes: Partial<Bill> = {}): Bill => ({
  sessionId: "session_a",
  userId: "Anna",
  outcome: "completed",
  reason: "requested",
  billableMs: 15_900,
  seconds: 15,
  minutes: 1,
  credits: 2,
  grantedMinutes: null,
  settledAt: "2026-11-29T10:00:00Z",
  epochs: [epoch()],
  entries: [],
  differenceMs: 0,
  evidence: { endedSeq: 9, records: 12, logSha256: "ab", creditsPerMinute: 2 },
  ...changes,
});

test("each rounding is a separate step", () => {
  expect(explain(bill()).map((step) => [step.label, step.result])).toEqual([
    ["Epoch 1 on n1", "15.900 s"],
    ["Seconds", "15 s"],
    ["Minutes", "1 minute"],
    ["Credits", "2 credits"],
  ]);
  expect(explain(bill()).at(-1)?.text).toBe("1 minute × 2 credits a minute");
  expect(sentence(bill())).toBe("15 s served, 1 begun minute: 2 credits.");
});

test("fault time and a take-over are explained", () => {
  const epochs = [
    epoch({ servedMs: 9_000, spanMs: 8_000, faultMs: 500, billableMs: 7_500 }),
    epoch({ epoch: 2, nodeId: "n2", servedMs: 4_000, billableMs: 4_000 }),
  ];
  const steps = explain(bill({ epochs, billableMs: 11_500, seconds: 11 }));

  expect(steps[0]?.text).toContain("capped at 8.000 s, when its successor was ready");
  expect(steps[0]?.text).toContain("minus 0.500 s in which a provider's fault");
  expect(steps[2]).toMatchObject({ label: "Sum", result: "11.500 s" });
});

test("a limit below the served time is named", () => {
  const steps = explain(
    bill({ epochs: [epoch({ billableMs: 60_300 })], billableMs: 60_000, seconds: 60, grantedMinutes: 1 }),
  );
  expect(steps[1]).toEqual({ label: "Limit", text: "the session was granted 1 minute", result: "60.000 s" });
});

test("a call that served nothing costs nothing", () => {
  const none = bill({ epochs: [], billableMs: 0, seconds: 0, minutes: 0, credits: 0 });
  expect(explain(none)[0]?.text).toBe("caller and agent were never both in the room");
  expect(sentence(none)).toBe("Nothing was served, so the call costs nothing.");
});

test("a running call costs begun minutes of whole seconds", () => {
  expect([0, 0.9, 1, 60.9, 61].map((s) => soFar(s, 3))).toEqual([0, 0, 3, 3, 6]);
  expect([soFar(null, 3), soFar(5, null)]).toEqual([null, null]);
});

test("a difference from the scheduler's figure has a direction", () => {
  expect(difference(bill())).toBeNull();
  expect(difference(bill({ differenceMs: 1500 }))).toMatch(/^Billing computed 1\.500 s more than /);
  expect(difference(bill({ differenceMs: -500 }))).toMatch(/^Billing computed 0\.500 s less than /);
});
