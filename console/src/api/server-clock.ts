/** The gateway's time: ages, costs and limits count from times that the gateway wrote. */

import { offsetMs } from "../domain/server-clock";

let aheadMs = 0;

export function noteAnswer(answer: Response, sentMs: number): void {
  aheadMs = offsetMs(answer.headers.get("Date"), sentMs, Date.now()) ?? aheadMs;
}

export function serverNow(): number {
  return Date.now() + aheadMs;
}
