"""What a node needs for its idle workers and its calls, beside livekit-agents and OpenRTC: memory and CPU of all.

    python tests/bench/density.py [--runs 2] [--seconds 32] [--calls 1 3] [--without-peer] [--json FILE]

Ours and livekit-agents keep 3 idle workers, before, in and between the calls; OpenRTC, whose calls are coroutines of
one process, has none. In each call a caller asks "What time is it?" every 8 s and
is answered; the callers are a process of their own. CPU is counted over a stretch of that, memory at its end.
Our second stack filters the callers' noise (NOISE_SUPPRESSION), with the first number of calls alone.
"""

import asyncio
import json
import secrets
import shutil
import sys
import tempfile
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean

import httpx
from livekit.rtc import _ffi_client
from rig.caller import create_room, delete_room, token
from rig.figures import Figure, arguments, publish, run_bench
from rig.livekit_agents import IDLE_PROCESSES, OpenRtc, Peer, pinned_version
from rig.processes import Process, cpu_s, pss_mb, tree
from rig.session import new_session, until_active, until_warm
from rig.speech import record

from contracts.ids import caller_identity
from greenroom_cli.stack import Part, Stack, StackOptions, running_stack, system_environment

CALLERS = Path(__file__).parent / "rig" / "callers.py"
QUESTION = "What time is it?"
SETTLE_S, JOIN_S, HANG_UP_S = 12.0, 30.0, 15.0  # the first covers the opening line and one question and answer
NOTES = (
    "memory is proportional (PSS); tree: all processes of a side, the main and the helper processes among them",
    "neither LiveKit, nor the sandbox, nor the callers are counted",
    "ours speaks with STT, LLM and TTS over the wire (the sandbox); the peers' services are in their processes",
    "all detect speech and the end of a turn with local models; ours and livekit-agents have 3 idle workers as well",
    "OpenRTC runs every call in one process (its default): a call that crashes or hangs it takes the others along",
)


@dataclass
class Side:
    """Ours or one of the peers, and its figures.

    Attributes:
        root: The pid of its main process.
        call: Starts an agent in a room and returns the pid of its worker.
        hang_up: Ends the call.
        until_idle: Waits until all calls have ended and the idle workers are ready.
        only: Measured with so many calls at once alone; None: with any number.
    """

    name: str
    environment: Mapping[str, str]
    root: Callable[[], int]
    new_room: Callable[[], str]
    call: Callable[[str], Awaitable[int]]
    hang_up: Callable[[str], Awaitable[None]]
    until_idle: Callable[[], Awaitable[None]]
    only: int | None = None
    figures: dict[str, Figure] = field(default_factory=dict[str, Figure])

    def note(self, what: str, unit: str, value: float) -> None:
        figure = self.figures.setdefault(what, Figure(f"{self.name}: {what}", unit))
        figure.values.append(value)


async def measure(side: Side, folder: Path, calls: int, seconds: float) -> None:
    """Fill the side's figures for so many calls at once."""
    await side.until_idle()
    async with calling(side, folder, calls) as pids:
        await asyncio.sleep(SETTLE_S)
        before = tree(side.root())
        await asyncio.sleep(seconds)
        after = tree(side.root())
        per_minute = 60 / seconds
        memory = {process.pid: pss_mb(process.pid) for process in after}
    label = f"{calls} calls" if calls > 1 else "1 call" if calls else "idle"
    workers = [process for process in after if process.depth == 2]
    side.note(f"{label}, tree", "MB", sum(memory.values()))
    side.note(f"{label}, main and helpers", "MB", sum(memory[p.pid] for p in after if p.depth < 2))
    if calls and pids[0] != side.root():
        side.note(f"{label}, a worker in a call", "MB", mean(memory[pid] for pid in pids))
        side.note(
            f"{label}, a worker in a call, CPU a minute",
            "s",
            mean(_used(before, after, pid) for pid in pids) * per_minute,
        )
    elif not calls and workers:
        side.note("idle, an idle worker", "MB", mean(memory[p.pid] for p in workers))
    side.note(
        f"{label}, tree, CPU a minute{' and call' if calls else ''}",
        "s",
        (cpu_s(after) - cpu_s(before)) * per_minute / max(1, calls),
    )


def _used(before: Sequence[Process], after: Sequence[Process], pid: int) -> float:
    """CPU seconds of one process."""
    return sum(p.cpu_s for p in after if p.pid == pid) - sum(p.cpu_s for p in before if p.pid == pid)


@asynccontextmanager
async def calling(side: Side, folder: Path, calls: int) -> AsyncGenerator[list[int]]:
    """So many calls at once, with their callers; gives the pids of their workers."""
    if not calls:
        yield []
        return
    environment = side.environment
    rooms = [side.new_room() for _ in range(calls)]
    for room in rooms:
        await create_room(environment, room)
    library = folder / "caller_library.so"
    callers = await asyncio.create_subprocess_exec(
        sys.executable, str(CALLERS), env={**system_environment(), "LIVEKIT_LIB_PATH": str(library)},
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert callers.stdin is not None
    assert callers.stdout is not None
    try:
        tokens = [token(environment, room, caller_identity(room)) for room in rooms]
        order = {"url": environment["LIVEKIT_URL"], "tokens": tokens, "wav": str(folder / "question.wav")}
        callers.stdin.write(json.dumps(order).encode() + b"\n")
        async with asyncio.timeout(JOIN_S):
            if await callers.stdout.readline() != b"joined\n":
                raise RuntimeError("the callers could not join; their words are above")
            pids = [await side.call(room) for room in rooms]
        yield pids
        callers.stdin.close()
        async with asyncio.timeout(HANG_UP_S):
            said = json.loads(await callers.stdout.readline())
            await callers.wait()
        label = f"{calls} call{'s' if calls > 1 else ''}"
        side.note(f"{label}, agent heard to speak, a minute", "s", mean(said["heard_s"]) / said["listened_s"] * 60)
    finally:
        if callers.returncode is None:
            callers.kill()
            await callers.wait()
    for room in rooms:
        await side.hang_up(room)


def ours(stack: Stack, client: httpx.AsyncClient, name: str = "greenroom", only: int | None = None) -> Side:
    async def call(session: str) -> int:
        body = {"userName": "Anna", "sessionId": session}
        (await client.post("/orchestrator/session/start", json=body)).raise_for_status()
        return (await until_active(client, session)).agent_pid or 0

    async def hang_up(session: str) -> None:
        (await client.post("/orchestrator/session/end", json={"sessionId": session})).raise_for_status()

    return Side(
        name=name,
        environment=stack.environment,
        root=lambda: stack.processes[Part.AGENT_RUNNER].pid,
        new_room=new_session,
        call=call,
        hang_up=hang_up,
        until_idle=lambda: until_warm(client, {Part.AGENT_RUNNER: IDLE_PROCESSES}),
        only=only,
    )


def theirs(stack: Stack, peer: Peer) -> Side:
    async def call(room: str) -> int:
        await peer.dispatch(room)
        return await peer.job_pid(room)

    return Side(
        name=peer.name,
        environment=stack.environment,
        root=lambda: peer.pid,
        new_room=lambda: f"peer-{secrets.token_hex(6)}",
        call=call,
        hang_up=lambda room: delete_room(stack.environment, room),
        until_idle=peer.until_idle,
    )


def compared(sides: Sequence[Side], *, with_peer: bool) -> list[Figure]:
    """All figures, ours set against livekit-agents', the others' against ours, with the goals on the whole trees.

    Args:
        sides: Ours, livekit-agents if there is a peer, others.
    """
    for other in sides[2 if with_peer else 1 :]:
        for what, figure in other.figures.items():
            figure.against = sides[0].figures.get(what)
    if with_peer:
        for what, figure in sides[0].figures.items():
            figure.against = sides[1].figures.get(what)
            if what.endswith(", tree"):
                figure.goal = ("<=", 0.5)
            elif what.endswith("CPU a minute and call"):
                figure.goal = ("<=", 1.0)
    names = dict.fromkeys(what for side in sides for what in side.figures)
    return [side.figures[what] for what in names for side in sides if what in side.figures]


async def started(stacks: AsyncExitStack, folder: Path, **settings: str) -> tuple[Stack, httpx.AsyncClient]:
    """A stack with idle workers, and a client of its gateway."""
    environment = system_environment() | {"PREWARM_POOL_SIZE": str(IDLE_PROCESSES)} | settings
    stack = await stacks.enter_async_context(running_stack(folder, StackOptions(environment=environment)))
    client = await stacks.enter_async_context(httpx.AsyncClient(base_url=stack.gateway_url, timeout=10))
    return stack, client


async def main() -> None:
    parser = arguments(__doc__ or "", runs=2)
    parser.add_argument(
        "--seconds", type=float, default=32, help="over which CPU is counted, of 8 s a question (default %(default)g)"
    )
    parser.add_argument("--calls", type=int, nargs="+", default=[1, 3], help="calls at once (default %(default)s)")
    parser.add_argument("--without-peer", action="store_true", help="do not compare with livekit-agents and OpenRTC")
    asked = parser.parse_args()
    async with AsyncExitStack() as stacks:
        folder = Path(stacks.enter_context(tempfile.TemporaryDirectory(prefix="greenroom-bench-")))
        stack, client = await started(stacks, folder / "stack")
        await record(stack, QUESTION, folder / "question.wav", rate=16_000)
        # A separate copy of the library: sharing ours with the callers would make our workers look smaller.
        shutil.copy(_ffi_client.get_ffi_lib()._name, folder / "caller_library.so")
        sides = [ours(stack, client)]
        if not asked.without_peer:
            for peer in (Peer(stack), OpenRtc(stack)):
                await peer.start()
                sides.append(theirs(stack, peer))
        filtering = await started(stacks, folder / "filtering", NOISE_SUPPRESSION="true")
        sides.append(ours(*filtering, "greenroom, NOISE_SUPPRESSION", only=asked.calls[0]))
        for _ in range(asked.runs):
            for calls in (0, *asked.calls):
                for side in sides:
                    if side.only in (None, calls):
                        await measure(side, folder, calls, asked.seconds)
    versions = {} if asked.without_peer else {"peer": pinned_version()}
    publish(
        "Memory and CPU of a node",
        compared(sides, with_peer=not asked.without_peer),
        asked.json,
        notes=NOTES,
        **versions,
    )


if __name__ == "__main__":
    run_bench(main())
