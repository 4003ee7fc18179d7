/** What the pages ask the gateway, by TanStack Query: one key for each answer, and how long it may be shown. */

import {
  QueryClient,
  queryOptions,
  useInfiniteQuery,
  useMutation,
  useQuery,
  useQueryClient,
} from "@tanstack/react-query";
import { type Filter, GROUPS } from "../domain/live";
import { get, Problem, post } from "./client";
import type { Link } from "./stream";
import type {
  Bill,
  Console,
  Node,
  SessionDetail,
  SessionPage,
  SessionSummary,
  Stats,
  Timeline,
  Transcript,
} from "./types";

/** While a stream is broken the pages ask this often, in ms. */
const POLL_MS = 3_000;

/** A stream may have told something before the read model had it. */
const SAFETY_MS = 30_000;

/** How often to ask beside a stream; after its end until the bill is known, which may come later than the stream waits. */
export function pollMsOf(link: Link, isBilled = true): number | false {
  return link === "live" || (link === "ended" && isBilled) ? false : POLL_MS;
}

/** False while a session or its bill is unknown. */
export function isBilled(session: SessionSummary | undefined): boolean {
  return typeof session?.credits === "number";
}

/** Whether the gateway, or what it needs, did not answer: the same question may succeed later. */
function isAway(error: unknown): boolean {
  return error instanceof Problem && (error.status === 0 || error.status >= 500);
}

export function newQueryClient(): QueryClient {
  return new QueryClient({
    defaultOptions: {
      // The browser's word that it is offline says nothing of a gateway on this machine or this network.
      mutations: { networkMode: "always" },
      queries: {
        networkMode: "always",
        retry: (failures, error) => failures < 2 && (!(error instanceof Problem) || isAway(error)),
        retryDelay: (attempt) => 500 * 2 ** attempt,
        staleTime: 1_000,
      },
    },
  });
}

function sessionsPath(filter: Filter, cursor: string | null): string {
  const query = new URLSearchParams({ limit: "100" });
  if (filter.user) query.set("user", filter.user);
  for (const status of GROUPS[filter.group]) query.append("status", status);
  if (filter.outcome) query.set("outcome", filter.outcome);
  if (cursor) query.set("cursor", cursor);
  return `/v1/sessions?${query}`;
}

export const consoleQuery = queryOptions({
  queryKey: ["console"],
  queryFn: ({ signal }) => get<Console>("/v1/console", signal),
  staleTime: 60_000,
  refetchInterval: ({ state }) => (isAway(state.error) ? POLL_MS : false),
});

export function useConsole() {
  return useQuery(consoleQuery);
}

function sessionsPage(filter: Filter, cursor: string | null, signal: AbortSignal): Promise<SessionPage> {
  return get<SessionPage>(sessionsPath(filter, cursor), signal);
}

/** The gateway looks at 2,000 sessions for a page, so that the open ones may stand on later pages. */
const MOST_PAGES = 10;

export function useRunning(filter: Filter, link: Link, isShown: boolean) {
  return useQuery({
    queryKey: ["sessions", filter],
    queryFn: async ({ signal }) => {
      const items: SessionSummary[] = [];
      let cursor: string | null = null;
      for (let n = 0; n < MOST_PAGES; n++) {
        const page: SessionPage = await sessionsPage(filter, cursor, signal);
        items.push(...page.items);
        cursor = page.nextCursor;
        if (cursor === null) break;
      }
      return { items, isWhole: cursor === null };
    },
    refetchInterval: pollMsOf(link) || SAFETY_MS,
    enabled: isShown,
  });
}

export function useRecent(filter: Filter, link: Link, isShown: boolean) {
  return useInfiniteQuery({
    queryKey: ["sessions", filter],
    queryFn: ({ pageParam, signal }) => sessionsPage(filter, pageParam, signal),
    initialPageParam: null as string | null,
    getNextPageParam: (last) => last.nextCursor,
    refetchInterval: pollMsOf(link) || SAFETY_MS,
    enabled: isShown,
  });
}

const sessionPath = (id: string) => `/v1/sessions/${encodeURIComponent(id)}`;

export function useSession(id: string, link: Link) {
  return useQuery({
    queryKey: ["session", id, "detail"],
    queryFn: ({ signal }) => get<SessionDetail>(sessionPath(id), signal),
    refetchInterval: ({ state }) => pollMsOf(link, isBilled(state.data)),
  });
}

export function useTimeline(id: string, pollMs: number | false) {
  return useQuery({
    queryKey: ["session", id, "timeline"],
    queryFn: ({ signal }) => get<Timeline>(`${sessionPath(id)}/timeline`, signal),
    refetchInterval: pollMs,
  });
}

export function useTranscript(id: string, pollMs: number | false) {
  return useQuery({
    queryKey: ["session", id, "transcript"],
    queryFn: ({ signal }) => get<Transcript>(`${sessionPath(id)}/transcript`, signal),
    refetchInterval: pollMs,
  });
}

export function useBill(id: string, isKnown: boolean) {
  return useQuery({
    queryKey: ["session", id, "bill"],
    queryFn: ({ signal }) => get<Bill>(`/billing/sessions/${encodeURIComponent(id)}`, signal),
    enabled: isKnown,
    refetchInterval: ({ state }) => (isAway(state.error) ? POLL_MS : false),
  });
}

export function useNodes() {
  return useQuery({
    queryKey: ["nodes"],
    queryFn: ({ signal }) => get<{ items: Node[] }>("/v1/nodes", signal),
    refetchInterval: 2_000,
  });
}

export function useStats() {
  return useQuery({
    queryKey: ["stats"],
    queryFn: ({ signal }) => get<Stats>("/stats", signal),
    refetchInterval: 5_000,
  });
}

export function useEnd(sessionId: string) {
  const client = useQueryClient();
  return useMutation({
    mutationFn: () => post<unknown>("/orchestrator/session/end", { sessionId }),
    onSettled: () => client.invalidateQueries({ queryKey: ["session", sessionId] }),
  });
}

export function useDrain(nodeId: string) {
  const client = useQueryClient();
  return useMutation({
    mutationFn: (limitS: number) => post<{ jobs: number }>(`/nodes/${encodeURIComponent(nodeId)}/drain`, { limitS }),
    onSettled: () => client.invalidateQueries({ queryKey: ["nodes"] }),
  });
}
