/** The API key. It lives in this tab alone (sessionStorage), is sent in a header, and never stands in an address. */

import { useSyncExternalStore } from "react";
import { kept } from "./storage";

const NAME = "greenroom.key";
const tab = kept(() => sessionStorage);
const listeners = new Set<() => void>();
let refused = false;

export function apiKey(): string | null {
  return tab.getItem(NAME);
}

export function useKey(): { key: string | null; refused: boolean } {
  const key = useSyncExternalStore(listen, apiKey);
  const wasRefused = useSyncExternalStore(listen, () => refused);
  return { key, refused: wasRefused };
}

export function keepKey(key: string): void {
  tab.setItem(NAME, key);
  refused = false;
  tell();
}

export function forgetKey(): void {
  tab.removeItem(NAME);
  refused = false;
  tell();
}

/** The gateway does not know the key, for example since it was changed: ask for another. */
export function refuseKey(): void {
  refused = apiKey() !== null;
  tab.removeItem(NAME);
  tell();
}

function listen(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

function tell(): void {
  for (const listener of listeners) listener();
}
