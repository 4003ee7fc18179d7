"""How long a caller hears nothing when the agent dies: from the SIGKILL to the first audio of the bridge line.

    python tests/bench/takeover.py [--runs 15] [--node-runs 3] [--json FILE]

The call is up, the opening line has been said, and both sides are silent at the SIGKILL. A lost worker is noticed by
its supervisor, a lost node (its supervisor and all that it started) by its lease; two nodes are up.
"""

import asyncio
import os
import signal
import tempfile
import time
from contextlib import AsyncExitStack
from pathlib import Path

import httpx
from rig.caller import WaitingCaller
from rig.figures import Figure, arguments, publish, run_bench
from rig.session import new_session, until_active, until_warm

from contracts.streams import NODES
from greenroom_cli.stack import Stack, StackOptions, running_stack, system_environment

POOL = 2
QUIET_S = 1.0
LEASE_MS = (NODES.key_ttl_s or 0) * 1000.0
NOTES = (
    "the first bridge line is synthesised after the death (by the sandbox, over the wire), later ones are kept audio",
    f"a node's lease is {LEASE_MS / 1000:g} s, renewed each second: a death is known up to a second earlier",
)


async def lost(stack: Stack, nodes: list[str], figure: Figure, *, whole_node: bool) -> None:
    """One call whose agent is killed; what was killed is up again when this returns."""
    async with AsyncExitStack() as call:
        client = await call.enter_async_context(httpx.AsyncClient(base_url=stack.gateway_url, timeout=10))
        await until_warm(client, dict.fromkeys(nodes, POOL))
        session = new_session()
        answer = await client.post("/api/token", json={"sessionId": session, "userId": "Anna"})
        answer.raise_for_status()
        async with WaitingCaller(stack.environment, session, answer.json()["token"]) as caller:
            body = {"userName": "Anna", "sessionId": session}
            (await client.post("/orchestrator/session/start", json=body)).raise_for_status()
            view = await until_active(client, session)
            await caller.silence(QUIET_S)
            hearing = asyncio.create_task(caller.heard_again())
            await asyncio.sleep(0)
            killed_at = time.monotonic()
            if whole_node:
                stack.processes[view.node_id or ""].signal(signal.SIGKILL, whole_session=True)
            elif view.agent_pid:
                os.kill(view.agent_pid, signal.SIGKILL)
            figure.values.append((await hearing - killed_at) * 1000)
        if whole_node:
            node = stack.processes[view.node_id or ""]
            await node.wait()
            await node.start()
        (await client.post("/orchestrator/session/end", json={"sessionId": session})).raise_for_status()


async def main() -> None:
    parser = arguments(__doc__ or "", runs=15)
    parser.add_argument("--node-runs", type=int, default=3, help="nodes that are killed (default %(default)s)")
    asked = parser.parse_args()
    worker = Figure("worker killed: bridge line heard", "ms", goal=("<=", 1000.0))
    node = Figure("node killed: bridge line heard", "ms", goal=("<=", LEASE_MS + 1000), goal_p95=True)
    options = StackOptions(nodes=2, environment=system_environment() | {"PREWARM_POOL_SIZE": str(POOL)})
    with tempfile.TemporaryDirectory(prefix="greenroom-bench-") as folder:
        async with running_stack(Path(folder), options) as stack:
            nodes = [name for name in stack.processes if name.startswith("agent-runner")]
            for _ in range(asked.runs):
                await lost(stack, nodes, worker, whole_node=False)
            for _ in range(asked.node_runs):
                await lost(stack, nodes, node, whole_node=True)
    publish("Take-over, from the SIGKILL to the bridge line at the caller", [worker, node], asked.json, notes=NOTES)


if __name__ == "__main__":
    run_bench(main())
