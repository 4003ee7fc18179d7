"""How fast a call is heard, beside livekit-agents: the same LiveKit server, the same caller, in turn.

    python tests/bench/first_audio.py [--runs 15] [--without-peer] [--json FILE]

The caller is in the room before the agent is asked for. Each figure is the time since the asking: the POST, for
livekit-agents the dispatch by LiveKit's API, for the cold process its start. Each way has its own stack, one after
the other, and in it takes turns with livekit-agents; the first round is not counted. A room that was joined ahead
(PREJOIN_POOL_SIZE) is not known to its caller before the POST: there is a figure with a caller who joins after the
answer, join and all, and, to compare with the others, one with a caller who is there already, because the program looks
up the room. Bare join is the limit of the SDK: a participant of this program that has its token joins, publishes a
track and writes sound to it at once; ours does the same with the same options, after a POST. Of that sound the caller
misses what came before its subscription. A second bare join waits for the subscription, as ours does, so that the
caller hears the first word whole.
"""

import asyncio
import secrets
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import httpx
import numpy as np
import redis.asyncio
from livekit import rtc
from rig.caller import SETTLED_S, WaitingCaller, delete_room, token
from rig.figures import Figure, Goal, arguments, publish, run_bench
from rig.livekit_agents import Peer, pinned_version
from rig.session import READY_S, new_session, until_warm

from agent_runner.worker.room import nagle
from contracts.api import StartReply
from contracts.ids import agent_identity, caller_identity
from greenroom_cli.stack import EVERYTHING, Part, Stack, StackOptions, running_stack, system_environment

POOL = 3
POSTS = 200
BARE_RATE, BARE_QUEUE_MS = 24_000, 200  # as ours
VARIABLES: Mapping[str, Mapping[str, str]] = {
    "warm": {"PREWARM_POOL_SIZE": str(POOL)},
    "fork": {"PREWARM_POOL_SIZE": "0"},
    "prejoined": {"PREWARM_POOL_SIZE": str(POOL), "PREJOIN_POOL_SIZE": "1"},
}
"""Each way to start through the gateway, and what its stack is started with."""

NOTES = (
    "ours runs all that a call takes: POST, durable event, placement, STT and TTS over the wire (the sandbox's voice)",
    "livekit-agents' services are in its process and answer at once, which is to its advantage; its audio is ready PCM",
    "cold process: imports everything, then joins; no POST, no bus",
    "an opening line that repeats is said from its audio (TTS_CACHE_MB), as the peer's is; two rows have new ones",
)


class Start:
    """The two figures of one way to start an agent."""

    def __init__(self, name: str) -> None:
        self.name = name
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


Starts = Mapping[str, Start]


async def through_the_gateway(stack: Stack, start: Start, posted: Figure, *, warm: int, name: str = "Anna") -> None:
    """One call, started by a POST once `warm` workers wait."""
    async with httpx.AsyncClient(base_url=stack.gateway_url, timeout=10) as client:
        await until_warm(client, {Part.AGENT_RUNNER: warm})
        session = new_session()
        answer = await client.post("/api/token", json={"sessionId": session, "userId": name})
        answer.raise_for_status()
        async with WaitingCaller(stack.environment, session, answer.json()["token"]) as caller:
            since = time.monotonic()
            answer = await client.post("/orchestrator/session/start", json={"userName": name, "sessionId": session})
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
            sys.executable, "-m", "agent_runner.worker.process.direct",
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


async def bare_join(stack: Stack, start: Start, *, waits: bool) -> None:
    """One participant that only joins, publishes and makes a sound; with `waits` only once the caller subscribed."""
    environment, name = stack.environment, f"bare-{secrets.token_hex(6)}"
    tone = (8000 * np.sin(np.arange(BARE_RATE // 50) * 2 * np.pi * 400 / BARE_RATE)).astype(np.int16)
    async with WaitingCaller(environment, name, token(environment, name, "caller")) as caller:
        room, source = rtc.Room(), rtc.AudioSource(BARE_RATE, 1, BARE_QUEUE_MS)
        track, grant = rtc.LocalAudioTrack.create_audio_track("bare", source), token(environment, name, "bare")
        published = rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_MICROPHONE)
        subscribed = asyncio.Event()
        room.on("local_track_subscribed", lambda _: subscribed.set())
        since = time.monotonic()
        async with nagle.off(environment["LIVEKIT_URL"]):
            await room.connect(environment["LIVEKIT_URL"], grant, rtc.RoomOptions(single_peer_connection=True))
        await room.local_participant.publish_track(track, published)
        adding = asyncio.create_task(start.add(caller, since))
        if waits:
            await asyncio.wait_for(subscribed.wait(), READY_S)
        while not adding.done():
            await source.capture_frame(rtc.AudioFrame(tone.tobytes(), BARE_RATE, 1, len(tone)))
        await adding
        await room.disconnect()
    await delete_room(environment, name)


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


async def start_prejoined(client: httpx.AsyncClient, name: str) -> StartReply:
    """Start a session wherever the gateway likes."""
    answer = await client.post("/orchestrator/session/start", json={"userName": name})
    answer.raise_for_status()
    return StartReply.model_validate_json(answer.content)


async def prejoined(
    stack: Stack, heard: Figure, used: set[str], *, caller_first: bool = True, name: str = "Anna"
) -> None:
    """One call in the room in which an agent waited already."""
    environment = stack.environment
    async with httpx.AsyncClient(base_url=stack.gateway_url, timeout=10) as client, AsyncExitStack() as callers:
        room = await until_prejoined(stack, used)
        await until_warm(client, {Part.AGENT_RUNNER: POOL})
        caller = WaitingCaller(environment, room, token(environment, room, caller_identity(room)), has_room=True)
        if caller_first:
            await callers.enter_async_context(caller)
            await asyncio.sleep(SETTLED_S)
        since = time.monotonic()
        started = await start_prejoined(client, name)
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


@asynccontextmanager
async def side_by_side(folder: Path, way: str, has_peer: bool) -> AsyncGenerator[tuple[Stack, Peer | None]]:
    """Our stack for one way, and the peer beside it: each way has the machine for itself and its peer."""
    options = StackOptions(environment={**system_environment(), **VARIABLES[way]})
    async with running_stack(folder / way, options) as stack:
        peer = Peer(stack) if has_peer else None
        if peer:
            await peer.start()
        yield stack, peer


async def measure(folder: Path, way: str, runs: int, posted: Figure, starts: Starts, *, has_peer: bool) -> None:
    """Fill the figures of one way, and those of the peer beside it, in turn."""
    used: set[str] = set()
    async with side_by_side(folder, way, has_peer) as (stack, peer):
        for run in range(runs + 1):
            into, post = (
                (starts, posted) if run else ({name: Start(name) for name in starts}, Figure("uncounted", "ms"))
            )
            if way == "prejoined":
                await prejoined(stack, into["prejoined"].heard, used)
                await prejoined(stack, into["prejoined, new line"].heard, used, name=f"Anna {run}")
                await prejoined(stack, into["prejoined, later"].heard, used, caller_first=False)
            else:
                await through_the_gateway(stack, into[way], post, warm=0 if way == "fork" else POOL)
            if way == "warm":
                line = into["warm, new line"]
                await through_the_gateway(stack, line, post, warm=POOL, name=f"Anna {run}")
                await bare_join(stack, into["bare"], waits=False)
                await bare_join(stack, into["bare, waits"], waits=True)
                await cold(stack, into["cold"])
            if peer:
                await by_livekit_agents(stack, peer, into[f"peer, {way}"])


async def main() -> None:
    parser = arguments(__doc__ or "", runs=15)
    parser.add_argument("--without-peer", action="store_true", help="do not compare with livekit-agents")
    asked = parser.parse_args()
    has_peer = not asked.without_peer
    posted, alone = Figure("POST, in calls", "ms"), Figure("POST, alone", "ms")
    starts = {
        "warm": Start("warm pool"),
        "bare": Start("bare join"),
        "bare, waits": Start("bare join that waits for the subscription"),
        "warm, new line": Start("warm pool, a new opening line"),
        "fork": Start("fork on demand"),
        "prejoined": Start("prejoined room"),
        "prejoined, new line": Start("prejoined room, a new opening line"),
        "prejoined, later": Start("prejoined room, caller joins after the POST"),
        "cold": Start("cold process"),
    }
    starts["cold"].compare(starts["warm"], (">=", 9))
    over_bare = Figure("warm pool: first audio, of the bare join's", "ms", starts["warm"].heard.values)
    over_bare.against, over_bare.goal = starts["bare"].heard, ("<=", 1.15)
    over_waiting = Figure("warm pool: first audio, of the bare join's that waits", "ms", over_bare.values)
    over_waiting.against = starts["bare, waits"].heard
    if has_peer:
        for way in VARIABLES:
            starts[f"peer, {way}"] = Start(f"livekit-agents beside {starts[way].name}")
        for way, goal in (("warm", 0.30), ("fork", 0.45), ("prejoined", 0.17)):
            starts[way].compare(starts[f"peer, {way}"], ("<=", goal))
        starts["warm, new line"].compare(starts["peer, warm"])
        for way in ("prejoined, new line", "prejoined, later"):
            starts[way].compare(starts["peer, prejoined"])
    with tempfile.TemporaryDirectory(prefix="greenroom-bench-") as name:
        folder = Path(name)
        without_node = StackOptions(parts=EVERYTHING - {Part.AGENT_RUNNER}, environment=system_environment())
        async with running_stack(folder / "post", without_node) as stack:
            await post_alone(stack, alone)
        for way in VARIABLES:
            await measure(folder, way, asked.runs, posted, starts, has_peer=has_peer)
    figures = [alone, posted, over_bare, over_waiting, *(f for s in starts.values() for f in s.figures if f.values)]
    versions = {"peer": pinned_version()} if has_peer else {}
    publish("Time to first audio, caller already in the room", figures, asked.json, notes=NOTES, **versions)


if __name__ == "__main__":
    run_bench(main())
