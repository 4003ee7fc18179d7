import { afterEach, beforeEach, expect, test, vi } from "vitest";

/** A browser whose settings forbid a page to keep anything: to name the storage throws. */
function forbid(name: "sessionStorage" | "localStorage") {
  Object.defineProperty(globalThis, name, {
    configurable: true,
    get() {
      throw new DOMException("Access is denied for this document.", "SecurityError");
    },
  });
}

beforeEach(() => vi.resetModules());
afterEach(() => {
  Reflect.deleteProperty(globalThis, "sessionStorage");
  vi.unstubAllGlobals();
});

test("where a page may keep nothing, it remembers the key by itself until it is reloaded", async () => {
  forbid("sessionStorage");
  const { apiKey, forgetKey, keepKey } = await import("../src/api/key");

  expect(apiKey()).toBeNull();
  keepKey("k1");
  expect(apiKey()).toBe("k1");
  forgetKey();
  expect(apiKey()).toBeNull();
});

test("a storage that is full loses nothing", async () => {
  vi.stubGlobal("sessionStorage", {
    getItem: () => null,
    setItem: () => {
      throw new DOMException("full", "QuotaExceededError");
    },
    removeItem: () => undefined,
  });
  const { apiKey, forgetKey, keepKey } = await import("../src/api/key");

  keepKey("k1");
  expect(apiKey()).toBe("k1");
  forgetKey();
  expect(apiKey()).toBeNull();
});
