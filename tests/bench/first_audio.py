"""How fast a call is heard: a warm worker, a fork on demand, and a cold process per session, interleaved in one run.

    python tests/bench/first_audio.py [--runs 15] [--json FILE]

The caller is in the room before the POST. Each figure is the time since the POST was sent; for the cold process, which
has no POST, since it was started. Both stacks have servers of their own; the cold process uses those of the first.
"""

import asyncio
import secrets
import sys
import tempfile
import time
from contextlib import AsyncExitStack
from pathlib import Path

import httpx
from caller import WaitingCaller, delete_room, token
from contracts.ids import agent_identity, caller_identity, session_id
from figures import Figure, arguments, publish
from greenroom_cli.stack import EVERYTHING, Part, Stack, StackOptions, running_stack
from greenroom_cli.stack.stack import system_environment

POOL = 3
POSTS = 200
READY_S = 60.0


class Start:
    """The three figures of one way to start an agent."""

    def __init__(self, name: str, against: "Start | None" = None) -> None:
        self.joined = Figure(f"{name}: agent joined", "ms", against=against.joined if against else None)
        self.heard = Figure(f"{name}: first audio", "ms", against=against.heard if against else None)

    async def add(self, caller: WaitingCaller, since: float) -> None:
        self.joined.values.append((await caller.joined() - since) * 1000)
        self.heard.values.append((await caller.heard() - since) * 1000)


async def through_the_gateway(stack: Stack, start: Start, posted: Figure, *, warm: int) -> None:
    """One call, started by a POST once `warm` workers wait."""
    environment = dict(stack.environment)
    async with httpx.AsyncClient(base_url=stack.gateway_url, timeout=10) as client:
        await until_warm(client, warm)
        session = new_session()
        answer = await client.post("/api/token", json={"sessionId": session, "userId": "bench"})
        answer.raise_for_status()
        async with WaitingCaller(environment, session, answer.json()["token"]) as caller:
            since = time.monotonic()
            answer = await client.post("/orchestrator/session/start", json={"userName": "Anna", "sessionId": session})
            answer.raise_for_status()
            posted.values.append((time.monotonic() - since) * 1000)
            await start.add(caller, since)
        (await client.post("/orchestrator/session/end", json={"sessionId": session})).raise_for_status()


async def cold(stack: Stack, start: Start) -> None:
    """One call whose agent is a new process that imports everything, then joins."""
    environment = dict(stack.environment)
    session = new_session()
    async with WaitingCaller(environment, session, token(environment, session, caller_identity(session))) as caller:
        since = time.monotonic()
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "agent_runner.worker.direct",
            "--url", environment["LIVEKIT_URL"], "--session-id", session,
            "--token", token(environment, session, agent_identity(session)),
            "--opening-line", "Hi Anna, how can I help you today?",
            env=system_environment() | environment,
            stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        try:
            await start.add(caller, since)
        finally:
            process.terminate()
            await asyncio.wait_for(process.wait(), 15)
    await delete_room(environment, session)


async def post_alone(stack: Stack, posted: Figure) -> None:
    """The POST without an agent-runner that would compete for the processors."""
    async with httpx.AsyncClient(base_url=stack.gateway_url, timeout=10) as client:
        for _ in range(POSTS):
            since = time.monotonic()
            answer = await client.post("/orchestrator/session/start", json={"userName": "Anna"})
            posted.values.append((time.monotonic() - since) * 1000)
            answer.raise_for_status()


async def until_warm(client: httpx.AsyncClient, warm: int) -> None:
    """Wait until exactly the wanted number of workers waits and nothing is busy."""
    deadline = time.monotonic() + READY_S
    while time.monotonic() < deadline:
        pool = (await client.get("/stats")).json()["pool"]
        if pool and pool[0]["warm"] == warm and pool[0]["busy"] == 0:
            await asyncio.sleep(0.5)  # what the last call left to do is done
            return
        await asyncio.sleep(0.1)
    raise TimeoutError(f"the pool did not reach {warm} warm workers within {READY_S:g} s")


def new_session() -> str:
    return session_id(time.time_ns() // 1_000_000, secrets.token_bytes(6))


async def main() -> None:
    asked = arguments(__doc__ or "", runs=15).parse_args()
    cold_start = Start("cold process")
    fork = Start("fork on demand", cold_start)
    warm = Start("warm pool", cold_start)
    posted, alone = Figure("POST, in calls", "ms"), Figure("POST, alone", "ms")
    async with AsyncExitStack() as stacks:
        folder = Path(stacks.enter_context(tempfile.TemporaryDirectory(prefix="greenroom-bench-")))

        async def stack(name: str, options: StackOptions) -> Stack:
            return await stacks.enter_async_context(running_stack(folder / name, options))

        base = system_environment()
        without_node = await stack("post", StackOptions(parts=EVERYTHING - {Part.AGENT_RUNNER}, environment=base))
        await post_alone(without_node, alone)
        warm_stack = await stack("warm", StackOptions(environment=base | {"PREWARM_POOL_SIZE": str(POOL)}))
        fork_stack = await stack("fork", StackOptions(environment=base | {"PREWARM_POOL_SIZE": "0"}))
        for run in range(asked.runs + 1):  # the first round is not counted
            await through_the_gateway(warm_stack, warm, posted, warm=POOL)
            await through_the_gateway(fork_stack, fork, posted, warm=0)
            await cold(warm_stack, cold_start)
            if run == 0:
                for figure in (posted, *(f for s in (warm, fork, cold_start) for f in (s.joined, s.heard))):
                    figure.values.clear()
    figures = [alone, posted, *(f for s in (warm, fork, cold_start) for f in (s.joined, s.heard))]
    publish("Time to first audio, caller already in the room", figures, asked.json)


if __name__ == "__main__":
    asyncio.run(main())
