import { CSPProvider } from "@base-ui/react/csp-provider";
import { QueryClientProvider } from "@tanstack/react-query";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { newQueryClient } from "./api/queries";
import { App } from "./app";
import "./styles/base.css";
import "./styles/parts.css";
import "./styles/pages.css";

const root = document.getElementById("root");
if (!root) throw new Error("the page has no #root");
createRoot(root).render(
  <StrictMode>
    {/* The page's policy forbids <style> elements. */}
    <CSPProvider disableStyleElements>
      <QueryClientProvider client={newQueryClient()}>
        <App />
      </QueryClientProvider>
    </CSPProvider>
  </StrictMode>,
);
