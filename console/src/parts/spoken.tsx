import type { SpokenTurn, Transcript } from "../api/types";
import { offset } from "../domain/format";
import { Badge, Empty } from "./kit";

export function Spoken({ transcript, isOver }: { transcript: Transcript; isOver: boolean }) {
  if (transcript.erased) return <Empty title="The words of this session were erased." />;
  const turns = transcript.unreadable ? transcript.turns.filter(hasWords) : transcript.turns;
  if (turns.length === 0 && !transcript.unreadable)
    return <Empty title={isOver ? "Nothing was said." : "Nothing was said yet."} />;
  return (
    <>
      {transcript.unreadable ? (
        <Empty title={`${turns.length === 0 ? "The words" : "Some words"} of this session cannot be opened.`}>
          Their key is not in the bucket keys of NATS: it was lost, or restored from an older copy than the log.
        </Empty>
      ) : null}
      <ol className="transcript" lang={transcript.language ?? undefined}>
        {turns.map((turn) => (
          <Turn key={`${turn.epoch}.${turn.n}`} turn={turn} />
        ))}
      </ol>
    </>
  );
}

function hasWords({ user, agent }: SpokenTurn): boolean {
  return Boolean(user || agent);
}

function Turn({ turn }: { turn: SpokenTurn }) {
  return (
    <li>
      <span className="transcript-time">{offset(turn.offsetMs)}</span>
      {turn.user ? (
        <p className="caption" data-side="caller">
          <span className="caption-who">Caller</span>
          <span>{turn.user}</span>
        </p>
      ) : null}
      {turn.tools.map((tool, at) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: a turn may call a tool twice, and calls are only added
        <p key={at} className="caption" data-side="tool">
          <span className="caption-who">Tool</span>
          <span>
            <code>{tool.name}</code> {tool.outcome}
          </span>
        </p>
      ))}
      {turn.agent ? (
        <p className="caption" data-side="agent">
          <span className="caption-who">Agent</span>
          <span>
            {turn.agent} {turn.interrupted ? <Badge tone="warn">interrupted here</Badge> : null}
          </span>
        </p>
      ) : (
        <p className="muted">{turn.interrupted ? "Interrupted before a word was heard." : "No answer was heard."}</p>
      )}
    </li>
  );
}
