/** Each turn by the agent's own account: its time, and the stage that broke the budget. */

import { pollMsOf, useTimeline } from "../api/queries";
import { useSessionStream } from "../api/session-stream";
import { latency } from "../domain/format";
import { turnFinding } from "../domain/story";

export function Measured({ sessionId }: { sessionId: string }) {
  const link = useSessionStream(sessionId);
  const timeline = useTimeline(sessionId, pollMsOf(link));
  const turns = timeline.data?.turns.filter((turn) => turn.totalMs !== null) ?? [];
  if (turns.length === 0) return null;
  return (
    <details className="measured">
      <summary>As the agent measured them: {latency(turns.at(-1)?.totalMs)} the last</summary>
      <ol>
        {turns.map((turn) => (
          <li key={`${turn.epoch}.${turn.n}`}>
            {turnFinding(turn)?.text ?? `Turn ${turn.n} took ${latency(turn.totalMs)}, within its budget.`}
          </li>
        ))}
      </ol>
    </details>
  );
}
