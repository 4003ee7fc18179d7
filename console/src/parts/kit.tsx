/** Small parts that every page uses. */

import { type ReactNode, type RefObject, useEffect, useLayoutEffect, useRef, useState } from "react";
import { Problem } from "../api/client";
import { serverNow } from "../api/server-clock";
import type { Link } from "../api/stream";
import type { Tone } from "../domain/words";

export function Badge({ tone, children }: { tone: Tone; children: ReactNode }) {
  return (
    <span className="badge" data-tone={tone}>
      {children}
    </span>
  );
}

export function Section({
  id,
  title,
  aside,
  children,
}: {
  id: string;
  title: string;
  aside?: ReactNode;
  children: ReactNode;
}) {
  return (
    <section className="panel" aria-labelledby={id}>
      <header className="panel-head">
        <h2 id={id}>{title}</h2>
        {aside}
      </header>
      {children}
    </section>
  );
}

export function Fact({ name, children }: { name: string; children: ReactNode }) {
  return (
    <div className="fact">
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  );
}

export function Empty({ title, children }: { title: string; children?: ReactNode }) {
  return (
    <div className="empty">
      <p className="empty-title">{title}</p>
      {children}
    </div>
  );
}

export function Loading({ what }: { what: string }) {
  return (
    <p className="loading" role="status">
      Loading {what}…
    </p>
  );
}

/** A failure, and what to do next. */
export function Failure({ error, retry }: { error: unknown; retry?: () => void }) {
  const body = error instanceof Problem ? error.body : null;
  return (
    <div className="failure" role="alert">
      <p className="failure-title">{body?.title ?? "The page could not be shown"}</p>
      <p>
        {body?.detail ?? String(error)} {body?.fix ?? "Reload the page; if it happens again, please report it."}
      </p>
      {body?.errors?.length ? (
        <ul>
          {body.errors.map((each) => (
            <li key={each.field}>
              <code>{each.field}</code>: {each.message}
            </li>
          ))}
        </ul>
      ) : null}
      <p className="failure-foot">
        {retry ? (
          <button type="button" onClick={retry}>
            Try again
          </button>
        ) : null}
        {body ? (
          <span className="muted">
            <code>{body.code}</code>
            {body.request_id ? (
              <>
                {" · request "}
                <code>{body.request_id}</code>
              </>
            ) : null}
          </span>
        ) : null}
      </p>
    </div>
  );
}

const LINKS: Record<Link | "unbilled", [Tone, string, string]> = {
  connecting: ["neutral", "Connecting", "Opening the stream of updates."],
  live: ["good", "Live", "Changes show at once."],
  lost: ["warn", "Connection lost", "Reconnecting; until then the page asks every 3 seconds."],
  refused: ["warn", "Not live", "The gateway refuses the stream of updates; the page asks every 3 seconds."],
  unbilled: ["neutral", "Waiting for the bill", "The call has ended; the page asks every 3 seconds for its bill."],
  ended: ["neutral", "Complete", "Nothing more happens to this session."],
};

/** Whether the page is live, told to screen readers when it changes. */
export function LinkState({ link }: { link: Link | "unbilled" }) {
  const [tone, label, hint] = LINKS[link];
  return (
    <span className="link-state" role="status" data-tone={tone} title={hint}>
      <span className="dot" aria-hidden="true" />
      {label}
      {link === "lost" || link === "refused" ? <span className="link-hint"> {hint}</span> : null}
    </span>
  );
}

/** The gateway's time, each second. */
export function useNow(everyMs = 1000): number {
  const [now, setNow] = useState(serverNow);
  useEffect(() => {
    const timer = setInterval(() => setNow(serverNow()), everyMs);
    return () => clearInterval(timer);
  }, [everyMs]);
  return now;
}

/** Copies a text; nothing where the browser has no clipboard for the page, as over HTTP from another machine. */
export function Copy({ text, label }: { text: string; label: string }) {
  const [copied, setCopied] = useState(false);
  if (!navigator.clipboard) return null;
  const copy = async () => {
    await navigator.clipboard.writeText(text);
    setCopied(true);
    setTimeout(() => setCopied(false), 1500);
  };
  return (
    <>
      <button type="button" className="quiet" onClick={() => void copy().catch(() => undefined)}>
        {copied ? "Copied" : "Copy"}
        <span className="visually-hidden"> {label}</span>
      </button>
      <span role="status" className="visually-hidden">
        {copied ? `Copied ${label}` : ""}
      </span>
    </>
  );
}

/**
 * When a part of the page goes that has the focus, as "End the session" does with the session, the heading gets it.
 *
 * @param within the part, as a selector of an element around `inside`; by itself: that element alone
 */
export function useFocusAfter(inside: RefObject<HTMLElement | null>, within = "*") {
  useLayoutEffect(() => {
    const part = inside.current?.closest(within);
    return () => {
      if (part?.contains(document.activeElement)) document.querySelector<HTMLElement>("h1")?.focus();
    };
  }, [inside, within]);
}

let titlesShown = 0;

/** The heading of a page. After a click on a link it gets the focus, as if the page had loaded: a screen reader then says where one is. */
export function PageTitle({
  title,
  isShown = true,
  children,
}: {
  title: string;
  isShown?: boolean;
  children?: ReactNode;
}) {
  const heading = useRef<HTMLHeadingElement>(null);
  useEffect(() => {
    if (isShown) document.title = `${title} · Greenroom`;
  }, [title, isShown]);
  useEffect(() => {
    if (isShown && titlesShown++ > 0) heading.current?.focus();
  }, [isShown]);
  return (
    <div className="page-head">
      <h1 ref={heading} tabIndex={-1}>
        {title}
      </h1>
      {children}
    </div>
  );
}
