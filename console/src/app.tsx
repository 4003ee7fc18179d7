/** The frame: navigation, the key, and the page of the address. */

import { useQueryClient } from "@tanstack/react-query";
import { lazy, Suspense, useEffect, useRef, useState } from "react";
import { Link, Route, Router, Switch, useLocation, useRoute } from "wouter";
import { forgetKey, useKey } from "./api/key";
import { useConsole } from "./api/queries";
import type { Console } from "./api/types";
import { zone } from "./domain/format";
import { AskKey } from "./pages/ask-key";
import { Boundary } from "./parts/boundary";
import { ConfirmButton } from "./parts/confirm";
import { Failure, Loading, PageTitle } from "./parts/kit";
import { ThemeChoice } from "./parts/theme";

const Live = lazy(() => import("./pages/live").then((page) => ({ default: page.Live })));
const Session = lazy(() => import("./pages/session").then((page) => ({ default: page.Session })));
const Nodes = lazy(() => import("./pages/nodes").then((page) => ({ default: page.Nodes })));
const Talk = lazy(() => import("./pages/talk").then((page) => ({ default: page.Talk })));

const BASE = new URL(document.baseURI).pathname.replace(/\/$/, "");

export function App() {
  return (
    <Router base={BASE}>
      <Frame />
    </Router>
  );
}

function Frame() {
  const client = useQueryClient();
  const [location] = useLocation();
  const { key, refused } = useKey();
  const gateway = useConsole();
  const [isInCall, setInCall] = useState(false);
  const previous = useRef(key);
  useEffect(() => {
    if (previous.current === key) return;
    previous.current = key;
    void client.resetQueries(); // nothing that another key read stays on the page
  }, [key, client]);
  return (
    <>
      <a className="skip" href={`${BASE}${location}#main`}>
        Skip to the content
      </a>
      <header className="top">
        <Brand />
        <nav aria-label="Pages">
          <NavLink to="/">Live</NavLink>
          <NavLink to="/talk">{isInCall ? "Talk, in call" : "Talk"}</NavLink>
          <NavLink to="/nodes">Nodes</NavLink>
        </nav>
        <div className="top-end">
          {key ? <ForgetKey isInCall={isInCall} /> : null}
          <ThemeChoice />
        </div>
      </header>
      <main id="main" tabIndex={-1}>
        {gateway.data ? (
          <Boundary place={location}>
            <Pages gateway={gateway.data} hasKey={key !== null} wasRefused={refused} />
          </Boundary>
        ) : gateway.isError ? (
          <Failure error={gateway.error} retry={() => void gateway.refetch()} />
        ) : (
          <Loading what="the console" />
        )}
        <Boundary place={location}>
          <KeptTalk gateway={gateway.data} hasKey={key !== null} isInCall={isInCall} onCall={setInCall} />
        </Boundary>
      </main>
      <footer className="foot">
        <span>Greenroom {gateway.data?.version ?? ""}</span>
        {gateway.data?.deployment ? <span>Deployment {gateway.data.deployment}</span> : null}
        <span>Times in {zone()}</span>
        <a href={new URL("../docs", document.baseURI).href}>API</a>
      </footer>
    </>
  );
}

function ForgetKey({ isInCall }: { isInCall: boolean }) {
  return isInCall ? (
    <ConfirmButton
      label="Forget key"
      title="Forget the key during a call?"
      action="Forget it"
      isBusy={false}
      onConfirm={forgetKey}
    >
      <p>The call goes on, but its figures, its end by this page and its bill need a key again.</p>
    </ConfirmButton>
  ) : (
    <button type="button" className="quiet" onClick={forgetKey}>
      Forget key
    </button>
  );
}

interface PagesProps {
  gateway: Console;
  hasKey: boolean;
  wasRefused: boolean;
}

function Pages({ gateway, hasKey, wasRefused }: PagesProps) {
  useScrollToTop();
  if (gateway.needsKey && !hasKey) return <AskKey wasRefused={wasRefused} />;
  return (
    <Suspense fallback={<Loading what="the page" />}>
      <Switch>
        <Route path="/">
          <Live gateway={gateway} />
        </Route>
        <Route path="/talk">{null}</Route>
        <Route path="/nodes">
          <Nodes gateway={gateway} />
        </Route>
        <Route path="/sessions/:id">{({ id }) => <Session key={id} id={id} gateway={gateway} />}</Route>
        <Route>
          <PageTitle title="No such page" />
          <p>
            Go to <Link to="/">the sessions</Link>.
          </p>
        </Route>
      </Switch>
    </Suspense>
  );
}

interface KeptTalkProps {
  gateway: Console | undefined;
  hasKey: boolean;
  isInCall: boolean;
  onCall: (isOn: boolean) => void;
}

/** The Talk page. It stays while another page is open or a key is asked for, and so does its call. */
function KeptTalk({ gateway, hasKey, isInCall, onCall }: KeptTalkProps) {
  const [isTalk] = useRoute("/talk");
  const known = useRef(gateway);
  const hasTalked = useRef(false);
  known.current = gateway ?? known.current; // until the answer to another key arrives
  const mayTalk = known.current !== undefined && (hasKey || !known.current.needsKey);
  hasTalked.current ||= isTalk && mayTalk;
  if (!known.current || !hasTalked.current || !(mayTalk || isInCall)) return null;
  return (
    <Suspense fallback={isTalk ? <Loading what="the page" /> : null}>
      <div className="page" hidden={!isTalk}>
        <Talk gateway={known.current} isShown={isTalk} onCall={onCall} />
      </div>
    </Suspense>
  );
}

function Brand() {
  return (
    <Link to="/" className="brand">
      <svg viewBox="0 0 32 32" width="22" height="22" aria-hidden="true">
        <rect width="32" height="32" rx="8" className="brand-box" />
        <path d="M8 18v-4M12.5 22V10M17 19v-6M21.5 24V8M26 17.5v-3" className="brand-bars" />
      </svg>
      Greenroom
    </Link>
  );
}

function NavLink({ to, children }: { to: string; children: string }) {
  const [isHere] = useRoute(to);
  return (
    <Link to={to} aria-current={isHere ? "page" : undefined}>
      {children}
    </Link>
  );
}

function useScrollToTop() {
  const [location] = useLocation();
  // biome-ignore lint/correctness/useExhaustiveDependencies: each new page begins at its top
  useEffect(() => {
    window.scrollTo(0, 0);
  }, [location]);
}
