/** The start, and the whole session, as waterfalls: tables whose bars show when each part began and ended. */

import type { Stage, Timeline } from "../api/types";
import { latency } from "../domain/format";
import { bars, phases, ticks } from "../domain/waterfall";
import { stageName } from "../domain/words";
import { Empty, Section } from "./kit";

export function Waterfalls({ timeline, startMs }: { timeline: Timeline; startMs: number | null }) {
  const whole = phases(timeline.entries);
  return (
    <Section
      id="start"
      title="From the POST to the bill"
      aside={startMs === null ? null : <span className="muted">{latency(startMs)} to the first audio</span>}
    >
      {timeline.start.length === 0 ? (
        <Empty title="The start has no finished stage yet." />
      ) : (
        <Waterfall stages={timeline.start} caption="Stages of the start, in time since the request" heading="Start" />
      )}
      {whole.length > 0 ? (
        <Waterfall stages={whole} caption="The whole session, in time since the request" heading="Whole session" />
      ) : null}
    </Section>
  );
}

function Waterfall({ stages, caption, heading }: { stages: readonly Stage[]; caption: string; heading: string }) {
  const { bars: rows, endMs } = bars(stages);
  return (
    <table className="waterfall">
      <caption className="visually-hidden">{caption}</caption>
      <thead>
        <tr>
          <th scope="col">{heading}</th>
          <th scope="col" className="waterfall-scale">
            <span className="visually-hidden">Bar</span>
            {ticks(endMs, 5).map((ms) => (
              <span key={ms} aria-hidden="true" style={{ left: `${(ms / endMs) * 100}%` }}>
                {latency(ms)}
              </span>
            ))}
          </th>
          <th scope="col" className="number">
            Took
          </th>
        </tr>
      </thead>
      <tbody>
        {rows.map((bar) => (
          <tr key={`${bar.name} ${bar.beginMs}`}>
            <th scope="row">{stageName(bar.name, bar.label)}</th>
            <td>
              <span className="visually-hidden">from {latency(bar.beginMs)}</span>
              <span className="bar" aria-hidden="true" style={{ left: `${bar.left}%`, width: `${bar.width}%` }} />
            </td>
            <td className="number">{latency(bar.ms)}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}
