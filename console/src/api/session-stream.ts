/** The events of one session: each makes the page ask again for what it shows of that session. */

import { useQueryClient } from "@tanstack/react-query";
import { useEffect, useRef } from "react";
import { type Link, useStream } from "./stream";

/** Events that come together lead to one request. */
const GATHER_MS = 250;

export function useSessionStream(id: string | null): Link {
  const client = useQueryClient();
  const timer = useRef<ReturnType<typeof setTimeout> | null>(null);
  useEffect(() => () => clearTimeout(timer.current ?? undefined), []);
  return useStream(id === null ? null : `/v1/sessions/${encodeURIComponent(id)}/events`, ({ event }) => {
    timer.current ??= setTimeout(() => {
      timer.current = null;
      void client.invalidateQueries({ queryKey: ["session", id] });
    }, GATHER_MS);
    return event === "billed";
  });
}
