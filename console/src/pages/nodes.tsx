/** Nodes: slots, warm workers, load, and draining. */

import { useState } from "react";
import { Link } from "wouter";
import { useDrain, useNodes, useStats } from "../api/queries";
import type { Console, Dependency, Node } from "../api/types";
import { count, duration, percent, secondsSince, shortId, word } from "../domain/format";
import { drainTimes, isLastAccepting } from "../domain/nodes";
import { ConfirmButton } from "../parts/confirm";
import { Badge, Empty, Failure, Loading, PageTitle, Section, useNow } from "../parts/kit";

export function Nodes({ gateway }: { gateway: Console }) {
  if (!gateway.scopes.includes("admin")) {
    return (
      <>
        <PageTitle title="Nodes" />
        <Empty title="This key may not see the nodes.">Use a key with the scope admin.</Empty>
      </>
    );
  }
  return (
    <>
      <PageTitle title="Nodes" />
      <System />
      <AllNodes />
    </>
  );
}

function System() {
  const stats = useStats();
  if (stats.isError) return <Failure error={stats.error} retry={() => void stats.refetch()} />;
  if (!stats.data) return <Loading what="the system's state" />;
  const { active, starting, queued, maxBots, redis, nats, livekit } = stats.data;
  return (
    <dl className="strip">
      <Figure name="In calls" value={`${active} of ${maxBots}`} />
      <Figure name="Starting" value={String(starting)} />
      <Figure name="Queued" value={String(queued)} />
      <Server name="NATS" state={nats} />
      <Server name="Redis" state={redis} />
      <Server name="LiveKit" state={livekit} />
    </dl>
  );
}

function Figure({ name, value }: { name: string; value: string }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{value}</dd>
    </div>
  );
}

function Server({ name, state }: { name: string; state: Dependency }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>
        <Badge tone={state.ok ? "good" : "bad"}>{state.ok ? "up" : "down"}</Badge>
        {state.ok ? null : <span className="sub">{state.detail}</span>}
      </dd>
    </div>
  );
}

function AllNodes() {
  const nodes = useNodes();
  const now = useNow();
  const items = nodes.data?.items ?? [];
  if (nodes.isError && items.length === 0) return <Failure error={nodes.error} retry={() => void nodes.refetch()} />;
  if (nodes.isPending) return <Loading what="the nodes" />;
  if (items.length === 0) {
    return (
      <Empty title="No node is alive.">
        Starts fail with <code>no_nodes</code> until one reports. Start an agent-runner, and look at its log;{" "}
        <code>greenroom doctor</code> checks what it needs.
      </Empty>
    );
  }
  return (
    <Section id="all-nodes" title={count(items.length, "node")}>
      {nodes.isError ? (
        <p role="status" className="notice" data-tone="warn">
          The last answer is shown; the gateway does not answer now.
        </p>
      ) : null}
      <div className="scroll">
        <table className="nodes">
          <caption className="visually-hidden">Nodes</caption>
          <thead>
            <tr>
              <th scope="col">Node</th>
              <th scope="col">Slots, warm workers</th>
              <th scope="col">Load</th>
              <th scope="col" className="wide">
                Sessions
              </th>
              <th scope="col">
                <span className="visually-hidden">Actions</span>
              </th>
            </tr>
          </thead>
          <tbody>
            {items.map((node) => (
              <NodeRow key={node.nodeId} node={node} now={now} isLast={isLastAccepting(node, items)} />
            ))}
          </tbody>
        </table>
      </div>
    </Section>
  );
}

function NodeRow({ node, now, isLast }: { node: Node; now: number; isLast: boolean }) {
  const since = secondsSince(node.startedAt, now);
  return (
    <tr data-draining={node.draining}>
      <th scope="row">
        {node.nodeId}
        <span className="sub">
          {[
            node.region,
            node.version ? `version ${node.version}` : null,
            since === null ? null : `up ${duration(since)}`,
          ]
            .filter(Boolean)
            .join(" · ")}
        </span>
        {node.draining ? (
          <span className="sub">
            <Badge tone="warn">Draining</Badge> {drainTimes(node, now)}
          </span>
        ) : null}
      </th>
      <td>
        <Share
          value={node.busy}
          of={node.slots}
          label={`${node.nodeId}: slots in use`}
          text={`${node.busy} of ${node.slots} in use`}
        />
        <span className="sub" data-over={node.warm === 0 && !node.draining}>
          {node.warm} warm{node.prejoined > 0 ? `, ${node.prejoined} prejoined` : ""}
        </span>
      </td>
      <td>
        <Share value={node.load} of={1} label={`${node.nodeId}: CPU load`} text={percent(node.load)} />
      </td>
      <td className="wide">
        {node.sessions.length === 0 ? (
          <span className="muted">none</span>
        ) : (
          node.sessions.map((id) => (
            <Link key={id} to={`/sessions/${id}`} className="chip" title={id}>
              {shortId(id)}
            </Link>
          ))
        )}
      </td>
      <td>
        <Drain node={node} isLast={isLast} />
      </td>
    </tr>
  );
}

function Share({ value, of, label, text }: { value: number; of: number; label: string; text: string }) {
  return (
    <span className="share">
      <meter min={0} max={Math.max(of, 1)} high={of * 0.7} optimum={0} value={value} aria-label={label} />
      <span>{word(text)}</span>
    </span>
  );
}

function Drain({ node, isLast }: { node: Node; isLast: boolean }) {
  const [minutes, setMinutes] = useState("10");
  const drain = useDrain(node.nodeId);
  const limitS = Math.min(86_400, Math.max(1, Number(minutes) * 60 || 600));
  return (
    <>
      <ConfirmButton
        label={node.draining ? "Change the limit" : "Drain"}
        title={`Drain ${node.nodeId}?`}
        action="Drain the node"
        isBusy={drain.isPending}
        onConfirm={() => drain.mutate(limitS)}
      >
        <p>
          It takes no new call, and its {count(node.sessions.length, "call")} may go on until the limit. Calls that are
          left then {isLast ? "end" : "are taken over by another node"}, and the process stops. This cannot be undone.
        </p>
        {isLast ? (
          <p role="alert" className="notice">
            No other node takes calls. Until one does, starts wait in the queue, and are rejected at their deadline.
          </p>
        ) : null}
        <label>
          Limit, in minutes{" "}
          <input
            type="number"
            min={1}
            max={1440}
            value={minutes}
            onChange={(event) => setMinutes(event.target.value)}
          />
        </label>
      </ConfirmButton>
      <span role="status" className="sub">
        {drain.isSuccess && drain.variables ? `Draining, limit ${duration(drain.variables)}` : ""}
      </span>
      {drain.isError ? <Failure error={drain.error} /> : null}
    </>
  );
}
