/** Each turn's stages against the budget, as a chart and as a table. */

import { Bar, BarChart, CartesianGrid, ReferenceLine, ResponsiveContainer, Tooltip, XAxis, YAxis } from "recharts";
import type { TurnTiming } from "../api/types";
import { latency, offset } from "../domain/format";
import { excess, stageNames, ticks, unmeasured } from "../domain/waterfall";
import { stageName } from "../domain/words";
import { Badge } from "./kit";

const COLOURS = 6;
const BAR_PX = 34;

export function Turns({ turns, budgetMs }: { turns: readonly TurnTiming[]; budgetMs: number }) {
  const names = stageNames(turns);
  const rows = turns.map((turn) => ({
    name: `Turn ${turn.n}`,
    ...Object.fromEntries(turn.stages.map((stage) => [stage.name, stage.ms])),
  }));
  const endMs = Math.max(budgetMs * 1.15, ...turns.map((turn) => turn.totalMs ?? sum(turn)));
  const slow = turns.filter((turn) => excess(turn) !== null).length;
  const summary = `${turns.length} turns; ${slow} over the budget of ${latency(budgetMs)}. The table below has the figures.`;
  return (
    <>
      <div className="chart" role="img" aria-label={summary}>
        <ResponsiveContainer width="100%" height={rows.length * BAR_PX + 62}>
          <BarChart
            data={rows}
            layout="vertical"
            margin={{ top: 20, right: 16, bottom: 0, left: 0 }}
            accessibilityLayer={false}
          >
            <CartesianGrid horizontal={false} className="chart-grid" />
            <XAxis type="number" domain={[0, endMs]} ticks={ticks(endMs, 5)} tickFormatter={latency} />
            <YAxis type="category" dataKey="name" width={62} tickLine={false} />
            <Tooltip
              formatter={(ms) => latency(Number(ms))}
              cursor={{ className: "chart-cursor" }}
              contentStyle={{ background: "var(--panel)", borderColor: "var(--line)", borderRadius: 6 }}
              itemStyle={{ color: "var(--text)" }}
            />
            {names.map(({ name, label }, at) => (
              <Bar
                key={name}
                dataKey={name}
                name={stageName(name, label)}
                stackId="turn"
                className={`series series-${at % COLOURS}`}
                isAnimationActive={false}
              />
            ))}
            <ReferenceLine x={budgetMs} className="chart-budget" label={{ value: "budget", position: "top" }} />
          </BarChart>
        </ResponsiveContainer>
      </div>
      <ul className="legend" aria-hidden="true">
        {names.map(({ name, label }, at) => (
          <li key={name}>
            <span className={`swatch series-${at % COLOURS}`} />
            {stageName(name, label)}
          </li>
        ))}
      </ul>
      <div className="scroll">
        <table className="turns">
          <caption className="visually-hidden">Turns against the budget of {latency(budgetMs)}</caption>
          <thead>
            <tr>
              <th scope="col">Turn</th>
              <th scope="col" className="number">
                Took
              </th>
              <th scope="col">Verdict</th>
              {names.map(({ name, label }) => (
                <th key={name} scope="col" className="number wide">
                  {stageName(name, label)}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {turns.map((turn) => (
              <Row key={`${turn.epoch}.${turn.n}`} turn={turn} names={names.map((each) => each.name)} />
            ))}
          </tbody>
        </table>
      </div>
    </>
  );
}

function sum(turn: TurnTiming): number {
  return turn.stages.reduce((ms, stage) => ms + stage.ms, 0);
}

function Row({ turn, names }: { turn: TurnTiming; names: string[] }) {
  const over = excess(turn);
  const guilty = turn.stages.find((stage) => stage.name === turn.overBudget);
  return (
    <tr>
      <th scope="row">
        {turn.n}
        <span className="sub">{offset(turn.offsetMs)}</span>
      </th>
      <td className="number" data-testid={`turn-${turn.n}`}>
        <span data-over={over !== null}>{latency(turn.totalMs)}</span>
      </td>
      <td>
        {over === null && !turn.overBudget ? (
          <span className="muted">{turn.totalMs === null ? unmeasured(turn) : "within the budget"}</span>
        ) : (
          <>
            <Badge tone="warn">{over === null ? "over" : `${latency(over)} over`}</Badge>{" "}
            {turn.overBudget ? `because of ${stageName(turn.overBudget, guilty?.label)}` : ""}
          </>
        )}
        {turn.interrupted ? <span className="sub">interrupted by the caller</span> : null}
      </td>
      {names.map((name) => (
        <td key={name} className="number wide">
          <span data-guilty={name === turn.overBudget}>
            {latency(turn.stages.find((stage) => stage.name === name)?.ms)}
          </span>
        </td>
      ))}
    </tr>
  );
}
