"""How fast a call is heard, beside livekit-agents: one LiveKit server, one caller, all ways in turn.

    python tests/bench/first_audio.py [--runs 15] [--without-peer] [--json FILE]

The caller is in the room before the agent is asked for. Each figure is the time since the asking: the POST, for
livekit-agents the dispatch by LiveKit's API, for the cold process its start. All ways take turns; the first round is
not counted. A room that was joined ahead (PREJOIN_POOL_SIZE) is not known to its caller before the POST: there is a
figure with a caller who joins after the answer, join and all, and, to compare with the others, one with a caller who is
there already, because the program looks up the room.
"""

import asyncio
import secrets
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path

import httpx
import redis.asyncio
from contracts.api import StartReply
from contracts.ids import agent_identity, caller_identity
from greenroom_cli.stack import EVERYTHING, Part, Stack, StackOptions, running_stack, system_environment
from rig.caller import SETTLED_S, WaitingCaller, delete_room, token
from rig.figures import Figure, Goal, arguments, publish, run_bench
from rig.livekit_agents import Peer, pinned_version
from rig.session import READY_S, new_session, until_warm

POOL = 3
POSTS = 200
SHARED = ("LIVEKIT_", "ASSEMBLY_", "GROQ_", "INWORLD_")


NOTES = (
    "ours runs all that a call takes: POST, durable event, placement, STT and TTS over the wire (the sandbox's voice)",
    "livekit-agents' services are in its process and answer at once, which is to its advantage; its audio is ready PCM",
    "cold process: imports everything, then joins; no POST, no bus",
)


class Start:
    """The two figures of one way to start an agent."""

    def __init__(self, name: str) -> None:
        self.joined, self.heard = Figure(f"{name}: agent joined", "ms"), Figure(f"{name}: first audio", "ms")

    @property
    def figures(self) -> tuple[Figure, Figure]:
        return self.joined, self.heard

    def compare(self, with_: "Start", goal: Goal | None = None) -> "Start":
        """Set against another; the goal is that of the first audio."""
        self.joined.against, self.heard.against, self.heard.goal = with_.joined, with_.heard, goal
        return self

    async def add(self, caller: WaitingCaller, since: float) -> None:
        self.joined.values.append((await caller.joined() - since) * 1000)
        self.heard.values.append((await caller.heard() - since) * 1000)


async def through_the_gateway(
    stack: Stack, environment: Mapping[str, str], start: Start, posted: Figure, *, warm: int
) -> None:
    """One call, started by a POST once `warm` workers wait; the environment names LiveKit."""
    async with httpx.AsyncClient(base_url=stack.gateway_url, timeout=10) as client:
        await until_warm(client, {Part.AGENT_RUNNER: warm})
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
    environment = stack.environment
    session = new_session()
    async with WaitingCaller(environment, session, token(environment, session, caller_identity(session))) as caller:
        since = time.monotonic()
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "agent_runner.worker.direct",
            "--url", environment["LIVEKIT_URL"], "--session-id", session,
            "--token", token(environment, session, agent_identity(session)),
            "--opening-line", "Hi Anna, how can I help you today?",
            env={**system_environment(), **environment},
            stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        try:
            await start.add(caller, since)
        finally:
            process.terminate()
            await asyncio.wait_for(process.wait(), 15)
    await delete_room(environment, session)


async def until_prejoined(stack: Stack, used: set[str]) -> str:
    """The one room that waits for a start, once it does; Redis still shows the last one for a moment."""
    async with (
        asyncio.timeout(READY_S),
        redis.asyncio.from_url(stack.environment["REDIS_URL"], decode_responses=True) as store,
    ):
        while True:
            ready = {str(member) for member in await store.smembers("pool:ready")}
            rooms = [name for name in ready - used if name.startswith("session_")]
            if rooms:
                used.add(rooms[0])
                return rooms[0]
            await asyncio.sleep(0.1)


async def start_prejoined(client: httpx.AsyncClient) -> StartReply:
    """Start a session wherever the gateway likes."""
    answer = await client.post("/orchestrator/session/start", json={"userName": "Anna"})
    answer.raise_for_status()
    return StartReply.model_validate_json(answer.content)


async def prejoined(
    stack: Stack, environment: Mapping[str, str], heard: Figure, used: set[str], *, caller_first: bool
) -> None:
    """One call in the room in which an agent waited already; the environment names LiveKit."""
    async with httpx.AsyncClient(base_url=stack.gateway_url, timeout=10) as client, AsyncExitStack() as callers:
        room = await until_prejoined(stack, used)
        await until_warm(client, {Part.AGENT_RUNNER: POOL})
        caller = WaitingCaller(environment, room, token(environment, room, caller_identity(room)), has_room=True)
        if caller_first:
            await callers.enter_async_context(caller)
            await asyncio.sleep(SETTLED_S)
        since = time.monotonic()
        started = await start_prejoined(client)
        if started.session_id != room:
            raise RuntimeError(f"{started.session_id} was started instead of the room that waited, {room}")
        if not caller_first:
            await callers.enter_async_context(caller)
        heard.values.append((await caller.heard() - since) * 1000)
        await callers.aclose()
        (await client.post("/orchestrator/session/end", json={"sessionId": room})).raise_for_status()


async def by_livekit_agents(stack: Stack, peer: Peer, start: Start) -> None:
    """One call of the peer, by explicit dispatch."""
    environment = stack.environment
    await peer.until_idle()
    await asyncio.sleep(0.5)  # as long as ours is given to settle
    room = f"peer-{secrets.token_hex(6)}"
    async with WaitingCaller(environment, room, token(environment, room, "caller")) as caller:
        since = await peer.dispatch(room)
        await start.add(caller, since)
    await delete_room(environment, room)


async def post_alone(stack: Stack, posted: Figure) -> None:
    """The POST without an agent-runner that would compete for the processors."""
    async with httpx.AsyncClient(base_url=stack.gateway_url, timeout=10) as client:
        for _ in range(POSTS):
            since = time.monotonic()
            answer = await client.post("/orchestrator/session/start", json={"userName": "Anna"})
            posted.values.append((time.monotonic() - since) * 1000)
            answer.raise_for_status()


async def measure(
    stacks: AsyncExitStack, folder: Path, runs: int, posted: Figure, starts: dict[str, Start], *, has_peer: bool
) -> None:
    """Fill the figures; `starts` has warm, fork, cold, prejoined, prejoined_later, and peer unless it is left out."""

    async def stack(name: str, options: StackOptions) -> Stack:
        return await stacks.enter_async_context(running_stack(folder / name, options))

    # These stacks share one LiveKit: to the others' schedulers a room that waits for a minute would be an orphan.
    base = system_environment() | {"RECONCILE_S": "600"}
    warm = await stack("warm", StackOptions(environment=base | {"PREWARM_POOL_SIZE": str(POOL)}))
    shared = base | {name: value for name, value in warm.environment.items() if name.startswith(SHARED)}
    others = EVERYTHING - {Part.LIVEKIT, Part.SANDBOX}
    fork = await stack("fork", StackOptions(parts=others, environment=shared | {"PREWARM_POOL_SIZE": "0"}))
    variables = {"PREWARM_POOL_SIZE": str(POOL), "PREJOIN_POOL_SIZE": "1"}
    ahead = await stack("prejoined", StackOptions(parts=others, environment=shared | variables))
    used: set[str] = set()
    peer = Peer(warm) if has_peer else None
    if peer:
        await peer.start()
    for run in range(runs + 1):
        await through_the_gateway(warm, warm.environment, starts["warm"], posted, warm=POOL)
        if peer:
            await by_livekit_agents(warm, peer, starts["peer"])
        await through_the_gateway(fork, warm.environment, starts["fork"], posted, warm=0)
        await prejoined(ahead, warm.environment, starts["prejoined"].heard, used, caller_first=True)
        await prejoined(ahead, warm.environment, starts["prejoined_later"].heard, used, caller_first=False)
        await cold(warm, starts["cold"])
        if run == 0:
            for figure in (posted, *(f for s in starts.values() for f in s.figures)):
                figure.values.clear()


async def main() -> None:
    parser = arguments(__doc__ or "", runs=15)
    parser.add_argument("--without-peer", action="store_true", help="do not compare with livekit-agents")
    asked = parser.parse_args()
    has_peer = not asked.without_peer
    posted, alone = Figure("POST, in calls", "ms"), Figure("POST, alone", "ms")
    warm, fork, cold_start = Start("warm pool"), Start("fork on demand"), Start("cold process")
    cold_start.compare(warm, (">=", 9))
    ahead, later = Start("prejoined room"), Start("prejoined room, caller joins after the POST")
    starts = {"warm": warm, "fork": fork, "prejoined": ahead, "prejoined_later": later, "cold": cold_start}
    if has_peer:
        starts["peer"] = Start("livekit-agents, 3 idle")
        warm.compare(starts["peer"], ("<=", 0.30))
        fork.compare(starts["peer"], ("<=", 0.45))
        ahead.compare(starts["peer"], ("<=", 0.17))
        later.compare(starts["peer"])
    with tempfile.TemporaryDirectory(prefix="greenroom-bench-") as name:
        folder = Path(name)
        without_node = StackOptions(parts=EVERYTHING - {Part.AGENT_RUNNER}, environment=system_environment())
        async with running_stack(folder / "post", without_node) as stack:
            await post_alone(stack, alone)
        async with AsyncExitStack() as stacks:
            await measure(stacks, folder, asked.runs, posted, starts, has_peer=has_peer)
    figures = [alone, posted, *(f for s in starts.values() for f in s.figures if f.values)]
    versions = {"peer": pinned_version()} if has_peer else {}
    publish("Time to first audio, caller already in the room", figures, asked.json, notes=NOTES, **versions)


if __name__ == "__main__":
    run_bench(main())
