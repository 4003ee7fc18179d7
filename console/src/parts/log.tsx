/** Everything that happened, step by step, with what the scheduler considered. */

import type { Entry } from "../api/types";
import { clock, offset } from "../domain/format";
import { considered, facts } from "../domain/story";
import { Badge, Section } from "./kit";

const TONES = { info: "neutral", warning: "warn", error: "bad" } as const;

export function Log({ entries }: { entries: readonly Entry[] }) {
  return (
    <Section id="log" title="Every step">
      <ol className="log">
        {entries.map((entry) => (
          <Step key={entry.seq} entry={entry} />
        ))}
      </ol>
    </Section>
  );
}

function Step({ entry }: { entry: Entry }) {
  const nodes = considered(entry);
  const known = facts(entry);
  return (
    <li data-level={entry.level}>
      <span className="log-time" title={clock(entry.at)}>
        {offset(entry.offsetMs)}
      </span>
      <div>
        <p>
          {entry.title} {entry.level === "info" ? null : <Badge tone={TONES[entry.level]}>{entry.level}</Badge>}
        </p>
        {nodes.length > 0 ? (
          <ul className="considered" aria-label="What the scheduler considered">
            {nodes.map((each) => (
              <li key={each.nodeId}>
                <code>{each.nodeId}</code> {each.verdict.replaceAll("_", " ")}
                {each.why ? `: ${each.why}` : ""}
              </li>
            ))}
          </ul>
        ) : null}
        {known.length > 0 ? (
          <details>
            <summary>
              Details<span className="visually-hidden"> of {entry.kind}</span>
            </summary>
            <dl className="detail">
              {known.map(([name, value]) => (
                <div key={name}>
                  <dt>{name}</dt>
                  <dd>{value}</dd>
                </div>
              ))}
            </dl>
          </details>
        ) : null}
      </div>
    </li>
  );
}
