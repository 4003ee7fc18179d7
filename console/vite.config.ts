import react from "@vitejs/plugin-react";
import { defineConfig } from "vitest/config";

// `npm run dev` shows the sources in a browser and takes everything else from a running gateway.
const GATEWAY = "http://127.0.0.1:8000";
const API = ["/v1", "/orchestrator", "/billing", "/nodes", "/stats", "/ready"];

export default defineConfig(({ command }) => ({
  // Relative: the gateway says with <base> where the files are, which ROOT_PATH changes.
  base: command === "build" ? "./" : "/console/",
  plugins: [react()],
  build: {
    // The page's policy allows no data: addresses.
    assetsInlineLimit: 0,
    chunkSizeWarningLimit: 1200,
    target: "es2022",
  },
  server: { proxy: Object.fromEntries(API.map((path) => [path, { target: GATEWAY, headers: { origin: GATEWAY } }])) },
  test: { include: ["tests/**/*.test.ts"] },
}));
