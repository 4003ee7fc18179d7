/** A stream that stays: it reconnects where it broke off, and says whether it is live. */

import { useEffect, useRef, useState } from "react";
import { events, NOTHING_MORE, Problem, type ServerEvent } from "./client";
import { useKey } from "./key";

/**
 * connecting: not yet. live: events arrive. lost: reconnecting; ask by polling meanwhile. refused: asking again would get
 * the same answer; only polling is left. ended: there is nothing more.
 */
export type Link = "connecting" | "live" | "lost" | "refused" | "ended";

/** The gateway sends a comment every 10 s, so silence for longer is a broken connection. */
const SILENCE_MS = 25_000;
const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 10_000;
/** A connection that lived this long was sound: the next pause is the first again. */
const SOUND_MS = 10_000;

export interface Follow {
  path: string;
  lastEventId?: string | undefined;
  /** Returns true after the last event. */
  onEvent: (event: ServerEvent) => boolean | undefined;
  onLink: (link: Link) => void;
  signal: AbortSignal;
}

/** The pause before the nth attempt in a row, in ms: doubled each time, and spread so that tabs do not come at once. */
export function pauseMs(attempt: number, random: number): number {
  return Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** Math.min(attempt, 10)) * (0.5 + random / 2);
}

/** The number of the next attempt in a row: a gateway that answers and breaks off at once is asked less and less often. */
export function nextAttempt(attempt: number, livedMs: number): number {
  return livedMs >= SOUND_MS ? 0 : attempt + 1;
}

export async function follow({ path, lastEventId, onEvent, onLink, signal }: Follow): Promise<void> {
  let last = lastEventId;
  let attempt = -1;
  while (!signal.aborted) {
    const broken = new AbortController();
    let watchdog = setTimeout(() => broken.abort(), SILENCE_MS);
    let openedAt: number | null = null;
    const heard = () => {
      clearTimeout(watchdog);
      watchdog = setTimeout(() => broken.abort(), SILENCE_MS);
      openedAt ??= performance.now();
      onLink("live");
    };
    try {
      const init = {
        headers: last ? { "Last-Event-ID": last } : {},
        signal: AbortSignal.any([signal, broken.signal]),
      };
      for await (const event of events(path, init, heard)) {
        last = event.id ?? last;
        if (event.event === NOTHING_MORE || onEvent(event)) {
          onLink("ended");
          return;
        }
      }
    } catch (error) {
      if (signal.aborted) return;
      if (error instanceof Problem && [401, 403, 404].includes(error.status)) {
        onLink("refused");
        return;
      }
    } finally {
      clearTimeout(watchdog);
    }
    if (signal.aborted) return;
    onLink("lost");
    attempt = nextAttempt(attempt, openedAt === null ? 0 : performance.now() - openedAt);
    await pause(pauseMs(attempt, Math.random()), signal);
  }
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      resolve();
    });
  });
}

/** Follows a stream while the component is shown; `path` null: none. */
export function useStream(path: string | null, onEvent: (event: ServerEvent) => boolean | undefined): Link {
  const [link, setLink] = useState<Link>("connecting");
  const { key } = useKey();
  const latest = useRef(onEvent);
  latest.current = onEvent;
  // biome-ignore lint/correctness/useExhaustiveDependencies: another key opens the stream again
  useEffect(() => {
    if (path === null) {
      setLink("ended");
      return;
    }
    setLink("connecting");
    const stop = new AbortController();
    void follow({ path, onEvent: (event) => latest.current(event), onLink: setLink, signal: stop.signal });
    return () => stop.abort();
  }, [path, key]);
  return link;
}
