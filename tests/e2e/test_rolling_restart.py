"""Both nodes of a stack are replaced, one after the other, while callers talk: no call is dropped, no start refused."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from signal import SIGTERM

import httpx
import pytest
import pytest_asyncio

from contracts.api import SessionView, StartReply
from greenroom_cli.call.participant import Call
from greenroom_cli.stack import Stack, StackOptions, running_stack, system_environment

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(240)]

LIMIT_S = 3.0
NODES = ("agent-runner-1", "agent-runner-2")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    """Two nodes that hand their calls over soon."""
    variables = {"PREWARM_POOL_SIZE": "2", "NODE_SLOTS": "6", "DRAIN_LIMIT_S": str(LIMIT_S)}
    options = StackOptions(nodes=2, environment=system_environment() | variables)
    async with running_stack(tmp_path_factory.mktemp("stack"), options) as running:
        yield running


@dataclass
class Caller:
    """A caller on the line, and every node that its agent was on."""

    session: str
    line: Call
    nodes: list[str] = field(default_factory=list[str])

    async def hears(self, since: float) -> float:
        """Wait for a whole utterance that began after this monotonic time."""
        while (said := await self.line.listen(30)).began_at < since:
            continue
        return said.began_at


async def call(http: httpx.AsyncClient, lines: AsyncExitStack, folder: Path, user: str) -> Caller:
    """Start a session and listen to its opening line."""
    answer = await http.post("/orchestrator/session/start", json={"userName": user})
    assert answer.status_code == 200, answer.text
    reply = StartReply.model_validate_json(answer.content)
    line = await lines.enter_async_context(Call(folder / f"{user}.wav", lambda _frame: None))
    caller = Caller(reply.session_id, line)
    await line.join(reply.server_url, reply.token)
    await caller.hears(0)
    caller.nodes.append((await view(http, caller)).node_id or "")
    return caller


async def view(http: httpx.AsyncClient, caller: Caller) -> SessionView:
    return SessionView.model_validate_json((await http.get(f"/sessions/{caller.session}")).content)


async def handed_over(http: httpx.AsyncClient, caller: Caller, since: float) -> None:
    """The call goes on, in the same room, with an agent on another node."""
    await caller.hears(since)
    shown = await view(http, caller)
    assert (shown.status, shown.node_id in (None, caller.nodes[-1])) == ("active", False), shown
    caller.nodes.append(shown.node_id or "")


async def test_a_rolling_restart_drops_no_call(stack: Stack, tmp_path: Path) -> None:
    async with (
        httpx.AsyncClient(base_url=stack.gateway_url, timeout=15) as http,
        AsyncExitStack() as lines,
    ):
        callers = [await call(http, lines, tmp_path, user) for user in ("Ann", "Ben", "Cid")]
        for node in NODES:
            began = time.monotonic()
            process = stack.processes[node]
            if node == NODES[0]:
                drained = await http.post(f"/nodes/{node}/drain", json={"limitS": LIMIT_S})
                assert drained.json() == {"nodeId": node, "jobs": sum(c.nodes[-1] == node for c in callers)}
            else:
                process.signal(SIGTERM)
            newcomer = asyncio.create_task(call(http, lines, tmp_path, f"New-{node}"))
            async with asyncio.timeout(LIMIT_S + 15):
                assert await process.wait() == 0
            for caller in callers:
                if caller.nodes[-1] == node:
                    await handed_over(http, caller, began)
            callers.append(await newcomer)
            assert callers[-1].nodes != [node], "a node that leaves takes nothing new"
            await process.start()

        assert sum(len(caller.nodes) - 1 for caller in callers) >= 3, "the first three calls moved at least once"
        for caller in callers:
            await caller.line.leave()
            ended = await http.post("/orchestrator/session/end", json={"sessionId": caller.session})
            assert ended.status_code == 200, ended.text
            shown = await view(http, caller)
            assert (shown.status, shown.outcome, shown.reason) == ("ended", "completed", "requested"), shown
