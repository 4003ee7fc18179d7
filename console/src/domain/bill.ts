/** A bill explained: each step from the served time to the credits, in the order in which billing computes it. */

import type { Bill, EpochBill } from "../api/types";
import { count, credits, duration, exactSeconds } from "./format";

export interface Step {
  label: string;
  text: string;
  result: string;
}

/** Served time, capped at the span, minus the fault time. */
export function epochStep(epoch: EpochBill): Step {
  const node = epoch.nodeId ? ` on ${epoch.nodeId}` : "";
  const isCapped = epoch.spanMs !== null && epoch.spanMs < epoch.servedMs;
  const parts = [`${exactSeconds(epoch.servedMs)} with caller and agent both in the room`];
  if (isCapped) parts.push(`capped at ${exactSeconds(epoch.spanMs)}, when its successor was ready`);
  parts.push(
    epoch.faultMs > 0
      ? `minus ${exactSeconds(epoch.faultMs)} in which a provider's fault kept the agent deaf or mute`
      : "no provider's fault to subtract",
  );
  return { label: `Epoch ${epoch.epoch}${node}`, text: parts.join("; "), result: exactSeconds(epoch.billableMs) };
}

export function explain(bill: Bill): Step[] {
  const steps = bill.epochs.map(epochStep);
  const sumMs = bill.epochs.reduce((sum, epoch) => sum + epoch.billableMs, 0);
  if (bill.epochs.length > 1) {
    steps.push({ label: "Sum", text: `of ${count(bill.epochs.length, "epoch")}`, result: exactSeconds(sumMs) });
  }
  if (bill.epochs.length === 0) {
    steps.push({ label: "Served", text: "caller and agent were never both in the room", result: exactSeconds(0) });
  } else if (bill.billableMs === 0 && sumMs > 0) {
    steps.push({
      label: "Not started",
      text: "the conversation never began, so nothing is billed",
      result: exactSeconds(0),
    });
  } else if (bill.grantedMinutes !== null && bill.billableMs < sumMs) {
    const limit = count(bill.grantedMinutes, "minute");
    steps.push({ label: "Limit", text: `the session was granted ${limit}`, result: exactSeconds(bill.billableMs) });
  }
  steps.push(
    { label: "Seconds", text: "whole seconds, rounded down", result: `${bill.seconds} s` },
    { label: "Minutes", text: "begun minutes, rounded up", result: count(bill.minutes, "minute") },
    { label: "Credits", text: priceOf(bill), result: credits(bill.credits) },
  );
  return steps;
}

function priceOf(bill: Bill): string {
  const price = bill.evidence?.creditsPerMinute;
  return price === undefined
    ? "the price of a begun minute"
    : `${count(bill.minutes, "minute")} × ${credits(price)} a minute`;
}

/** The bill in one sentence. */
export function sentence(bill: Bill): string {
  if (bill.credits === 0 && bill.seconds === 0) return "Nothing was served, so the call costs nothing.";
  return `${duration(bill.seconds)} served, ${count(bill.minutes, "begun minute")}: ${credits(bill.credits)}.`;
}

/** How billing's figure differs from the scheduler's; null: not at all. */
export function difference({ differenceMs }: Bill): string | null {
  if (differenceMs === 0) return null;
  const size = exactSeconds(Math.abs(differenceMs));
  return `Billing computed ${size} ${differenceMs > 0 ? "more" : "less"} than the scheduler stated at the end; billing's figure counts.`;
}

/** What a running call has cost so far by the clock; the bill leaves out the fault time. */
export function soFar(seconds: number | null, creditsPerMinute: number | null): number | null {
  if (seconds === null || creditsPerMinute === null) return null;
  return Math.ceil(Math.floor(Math.max(0, seconds)) / 60) * creditsPerMinute;
}
