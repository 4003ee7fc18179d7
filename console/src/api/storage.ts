/** The browser's storages, which throw where its settings forbid a page to keep anything: then the page remembers by itself. */

type Kept = Pick<Storage, "getItem" | "setItem" | "removeItem">;

/** @param storage named by a function: to name it throws too */
export function kept(storage: () => Kept): Kept {
  const own = new Map<string, string>();
  const memory: Kept = {
    getItem: (name) => own.get(name) ?? null,
    setItem: (name, value) => void own.set(name, value),
    removeItem: (name) => void own.delete(name),
  };
  const attempt = <T>(use: (kept: Kept) => T): T => {
    try {
      return use(storage());
    } catch {
      return use(memory);
    }
  };
  return {
    getItem: (name) => attempt((each) => each.getItem(name)) ?? memory.getItem(name),
    setItem: (name, value) => attempt((each) => each.setItem(name, value)),
    removeItem: (name) => {
      memory.removeItem(name);
      attempt((each) => each.removeItem(name));
    },
  };
}
