/** Numbers and times as people read them. What is unknown is a dash, never `undefined` or `NaN`. */

export const NONE = "–";

type Maybe<T> = T | null | undefined;

function known(value: Maybe<number>): value is number {
  return typeof value === "number" && Number.isFinite(value);
}

/** 84 ms, 1.24 s, 75 s: three digits, in the unit that fits. */
export function latency(ms: Maybe<number>): string {
  if (!known(ms)) return NONE;
  const size = Math.abs(ms);
  if (size < 999.5) return `${Math.round(ms)} ms`;
  return `${(ms / 1000).toFixed(size < 9_995 ? 2 : size < 99_950 ? 1 : 0)} s`;
}

/** Exact seconds, for bills: 12.345 s. */
export function exactSeconds(ms: Maybe<number>): string {
  return known(ms) ? `${(ms / 1000).toFixed(3)} s` : NONE;
}

/** 42 s, 3 min 05 s, 2 h 07 min, 3 d 4 h. */
export function duration(seconds: Maybe<number>): string {
  if (!known(seconds)) return NONE;
  const s = Math.max(0, Math.floor(seconds));
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min ${two(s % 60)} s`;
  if (s < 86_400) return `${Math.floor(s / 3600)} h ${two(Math.floor((s % 3600) / 60))} min`;
  return `${Math.floor(s / 86_400)} d ${Math.floor((s % 86_400) / 3600)} h`;
}

/** The seconds from a time until now, at least 0. */
export function secondsSince(time: Maybe<string>, nowMs: number): number | null {
  const at = time ? Date.parse(time) : Number.NaN;
  return Number.isNaN(at) ? null : Math.max(0, (nowMs - at) / 1000);
}

/** 42 s ago, 3 min ago, 2 h ago, 4 d ago. */
export function ago(seconds: Maybe<number>): string {
  return known(seconds) ? `${duration(seconds).split(" ").slice(0, 2).join(" ")} ago` : NONE;
}

/** +0.000 s, +1:23.4: the time since the request. */
export function offset(ms: Maybe<number>): string {
  if (!known(ms)) return NONE;
  if (ms < 59_995) return `+${(Math.max(0, ms) / 1000).toFixed(2)} s`;
  const tenths = Math.round(ms / 100);
  return `+${Math.floor(tenths / 600)}:${((tenths % 600) / 10).toFixed(1).padStart(4, "0")}`;
}

/** A time of today as 14:03:12, an earlier one with its date. */
export function clock(time: Maybe<string>, nowMs: number = Date.now()): string {
  const at = new Date(time ?? Number.NaN);
  if (Number.isNaN(at.getTime())) return NONE;
  const hms = `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`;
  const isToday = at.toDateString() === new Date(nowMs).toDateString();
  return isToday ? hms : `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())} ${hms}`;
}

/** The zone of all shown times, such as "Europe/Berlin, UTC+1": the browser's. */
export function zone(nowMs: number = Date.now()): string {
  const name = Intl.DateTimeFormat().resolvedOptions().timeZone;
  const minutes = -new Date(nowMs).getTimezoneOffset();
  if (minutes === 0) return name === "UTC" ? name : `${name}, UTC`;
  const size = Math.abs(minutes);
  const rest = size % 60 === 0 ? "" : `:${two(size % 60)}`;
  return `${name}, UTC${minutes < 0 ? "-" : "+"}${Math.floor(size / 60)}${rest}`;
}

export function count(n: Maybe<number>, one: string, many = `${one}s`): string {
  return known(n) ? `${n} ${n === 1 ? one : many}` : NONE;
}

export function credits(n: Maybe<number>): string {
  return count(n, "credit");
}

export function percent(share: Maybe<number>): string {
  return known(share) ? `${Math.round(share * 100)} %` : NONE;
}

export function word(value: Maybe<string | number>): string {
  return value === null || value === undefined || value === "" ? NONE : String(value);
}

/** The end of an id, which tells sessions apart: session_1795912374951_301f94e1365a is …94e1365a. */
export function shortId(id: string): string {
  return id.length > 12 ? `…${id.slice(-8)}` : id;
}

function two(n: number): string {
  return String(n).padStart(2, "0");
}
