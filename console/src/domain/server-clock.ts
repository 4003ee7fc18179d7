/** By how much the gateway's clock is ahead of this browser's, from the Date header of an answer. */

/** A Date header has whole seconds, and a server may write one text for all answers of a second. */
const DATE_LASTS_MS = 2000;

/**
 * In ms; 0 while the clocks may agree, so that a sound browser's seconds do not jump. Null: the header says nothing.
 *
 * @param sentMs the browser's time of the request
 * @param receivedMs the browser's time of its answer
 */
export function offsetMs(date: string | null, sentMs: number, receivedMs: number): number | null {
  const at = date === null ? Number.NaN : Date.parse(date);
  if (Number.isNaN(at)) return null;
  const [least, most] = [at - receivedMs, at + DATE_LASTS_MS - sentMs];
  return least <= 0 && most >= 0 ? 0 : (least + most) / 2;
}
