import { type FormEvent, useState } from "react";
import { getWithKey, Problem } from "../api/client";
import { keepKey } from "../api/key";
import type { Console } from "../api/types";
import { PageTitle } from "../parts/kit";

export function AskKey({ wasRefused }: { wasRefused: boolean }) {
  const [typed, setTyped] = useState("");
  const [problem, setProblem] = useState<string | null>(wasRefused ? "The gateway does not know this key." : null);
  const [isBusy, setBusy] = useState(false);

  const submit = async (event: FormEvent) => {
    event.preventDefault();
    setBusy(true);
    setProblem(await refusalOf(typed.trim()));
    setBusy(false);
  };
  return (
    <form className="ask-key panel" onSubmit={(event) => void submit(event)}>
      <PageTitle title="API key" />
      <p>
        This gateway asks for one of its <code>GREENROOM_API_KEYS</code>. A key with the scope <code>sessions</code>{" "}
        shows and starts calls; <code>billing:read</code> shows bills, and <code>admin</code> nodes.
      </p>
      <label htmlFor="key">Key</label>
      <input
        id="key"
        type="password"
        autoComplete="off"
        spellCheck={false}
        required
        value={typed}
        onChange={(event) => setTyped(event.target.value)}
        aria-describedby="key-note"
        aria-invalid={problem !== null}
      />
      {problem ? (
        <p role="alert" className="field-error">
          {problem}
        </p>
      ) : null}
      <p id="key-note" className="muted">
        The key stays in this tab until you close it, and is sent to this gateway alone.
      </p>
      <button type="submit" className="primary" disabled={isBusy || typed.trim() === ""}>
        {isBusy ? "Checking…" : "Open the console"}
      </button>
    </form>
  );
}

/** Keeps the key if the gateway knows it; otherwise says what to do. */
async function refusalOf(key: string): Promise<string | null> {
  if (!/^[\x21-\x7e]+$/.test(key)) return "A key has no spaces and only plain characters; copy it again.";
  try {
    const known = await getWithKey<Console>("/v1/console", key);
    if (known.scopes.includes("sessions")) {
      keepKey(key);
      return null;
    }
    return known.scopes.length === 0
      ? "The gateway does not know this key. Copy it from GREENROOM_API_KEYS; a sha256: entry is not the key itself."
      : `This key lacks the scope sessions; it has ${known.scopes.join(", ")}.`;
  } catch (error) {
    return error instanceof Problem
      ? `${error.body.title}. ${error.body.fix}`
      : "The key could not be checked; try again.";
  }
}
