"""How fast a call is heard, beside livekit-agents: one LiveKit server, one caller, all ways in turn.

    python tests/bench/first_audio.py [--runs 15] [--without-peer] [--json FILE]

The caller is in the room before the agent is asked for. Each figure is the time since the asking: the POST, for
livekit-agents the dispatch by LiveKit's API, for the cold process its start. All ways take turns; the first round is
not counted. With rooms joined ahead (PREJOIN_POOL_SIZE) the room is not known before the POST, so its caller joins
after the answer, and that time is in the figure.
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
from agent_runner.settings import Settings as NodeSettings
from contracts.ids import agent_identity, caller_identity
from greenroom_cli.stack import EVERYTHING, Part, Stack, StackOptions, running_stack, system_environment
from rig.caller import WaitingCaller, delete_room, token
from rig.figures import Figure, Goal, arguments, publish, run_bench
from rig.livekit_agents import Peer, pinned_version
from rig.session import new_session, until_warm

POOL = 3
PREJOIN = "PREJOIN_POOL_SIZE"
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


async def prejoined(stack: Stack, environment: Mapping[str, str], heard: Figure) -> None:
    """One call in a room in which an agent waited already; the environment names LiveKit."""
    async with httpx.AsyncClient(base_url=stack.gateway_url, timeout=10) as client:
        await until_warm(client, {Part.AGENT_RUNNER: POOL})
        since = time.monotonic()
        answer = await client.post("/orchestrator/session/start", json={"userName": "Anna"})
        answer.raise_for_status()
        session = answer.json()["sessionId"]
        async with WaitingCaller(environment, session, answer.json()["token"], has_room=True) as caller:
            heard.values.append((await caller.heard() - since) * 1000)
        (await client.post("/orchestrator/session/end", json={"sessionId": session})).raise_for_status()


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
    """Fill the figures; `starts` has warm, fork, cold, and peer and prejoined where they can be measured."""

    async def stack(name: str, options: StackOptions) -> Stack:
        return await stacks.enter_async_context(running_stack(folder / name, options))

    base = system_environment()
    warm = await stack("warm", StackOptions(environment=base | {"PREWARM_POOL_SIZE": str(POOL)}))
    shared = base | {name: value for name, value in warm.environment.items() if name.startswith(SHARED)}
    others = EVERYTHING - {Part.LIVEKIT, Part.SANDBOX}
    fork = await stack("fork", StackOptions(parts=others, environment=shared | {"PREWARM_POOL_SIZE": "0"}))
    joined_ahead = None
    if "prejoined" in starts:
        options = StackOptions(parts=others, environment=shared | {"PREWARM_POOL_SIZE": str(POOL), PREJOIN: "2"})
        joined_ahead = await stack("prejoined", options)
    peer = Peer(warm) if has_peer else None
    if peer:
        await peer.start()
    for run in range(runs + 1):
        await through_the_gateway(warm, warm.environment, starts["warm"], posted, warm=POOL)
        if peer:
            await by_livekit_agents(warm, peer, starts["peer"])
        await through_the_gateway(fork, warm.environment, starts["fork"], posted, warm=0)
        if joined_ahead:
            await prejoined(joined_ahead, warm.environment, starts["prejoined"].heard)
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
    starts = {"warm": warm, "fork": fork, "cold": cold_start}
    if has_peer:
        starts["peer"] = Start("livekit-agents, 3 idle")
        warm.compare(starts["peer"], ("<=", 0.30))
        fork.compare(starts["peer"], ("<=", 0.45))
    if PREJOIN.lower() in NodeSettings.model_fields:
        starts["prejoined"] = Start("prejoined room")
        if has_peer:
            starts["prejoined"].compare(starts["peer"], ("<=", 0.17))
    with tempfile.TemporaryDirectory(prefix="greenroom-bench-") as name:
        folder = Path(name)
        without_node = StackOptions(parts=EVERYTHING - {Part.AGENT_RUNNER}, environment=system_environment())
        async with running_stack(folder / "post", without_node) as stack:
            await post_alone(stack, alone)
        async with AsyncExitStack() as stacks:
            await measure(stacks, folder, asked.runs, posted, starts, has_peer=has_peer)
    figures = [alone, posted, *(f for s in starts.values() for f in s.figures)]
    versions = {"peer": pinned_version()} if has_peer else {}
    publish("Time to first audio, caller already in the room", figures, asked.json, notes=NOTES, **versions)


if __name__ == "__main__":
    run_bench(main())
