"""A conversation's pace, beside livekit-agents: answers, interruptions, and sounds that are neither.

    python tests/bench/turns.py [--runs 10] [--rounds 5] [--without-peer] [--json FILE]

Both sides have their calls on the same LiveKit server with the same caller, who takes turns with them: an exchange
with ours, the same with livekit-agents. The providers' latencies are emulated alike (see LATENCY); ours goes over the
wire to the sandbox, the peer's services are stubs in its process. All times are at the caller: of what it says by the
samples that it sends, of what it hears by the frames that arrive.

Answer: from the end of the question to the first audio. Interruption: from the first sound of a question asked into an
answer to the agent's last sound. False interruption: a short sound without words while the agent speaks; two calls of
each side at a time, all at once, hear SOUNDS_PER_ANSWER of them in each of `--rounds` answers. Of the answer each word
is looked for in the caller's recording.
"""

import asyncio
import itertools
import secrets
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import httpx
import numpy as np
from rig.caller import create_room, token
from rig.figures import Figure, arguments, publish, run_bench
from rig.livekit_agents import Peer, pinned_version
from rig.sandbox import Sandbox
from rig.session import new_session, until_active, until_warm
from rig.speech import record
from rig.talker import RATE, Sound, TalkingCaller
from rig.words import Spoken, lost

from chassis.nats import Bus
from contracts.events import TurnFinished
from contracts.ids import caller_identity
from contracts.subjects import session_event
from greenroom_cli.stack import Part, Stack, StackOptions, running_stack, system_environment

CALLS: Final = 2  # of each side; answers and interruptions are measured on the first
SOUNDS_PER_ANSWER: Final = 5
WORST: Final = 10
PEER_TURNS: Final = ("vad", "v1-mini")
"""Its detector finds these synthetic questions unfinished, and then waits 2.5 s: the faster one is the default."""
STT_MS, LLM_FIRST_MS, LLM_TOKEN_MS, TTS_MS = 150, 250, 20, 120
LATENCY: Final[Mapping[str, str]] = {
    "SANDBOX_STT_WORDS": "What time is it?",
    "SANDBOX_STT_FINAL_MS": str(STT_MS), "SANDBOX_LLM_FIRST_TOKEN_MS": str(LLM_FIRST_MS),
    "SANDBOX_LLM_TOKEN_MS": str(LLM_TOKEN_MS), "SANDBOX_TTS_FIRST_AUDIO_MS": str(TTS_MS),
}  # fmt: skip
PEER_LATENCY: Final[Mapping[str, str]] = {
    "SANDBOX_STT_WORDS": "What time is it?",
    "PEER_STT_MS": str(STT_MS), "PEER_LLM_FIRST_MS": str(LLM_FIRST_MS), "PEER_LLM_TOKEN_MS": str(LLM_TOKEN_MS),
    "PEER_TTS_MS": str(TTS_MS),
}  # fmt: skip
OURS: Final[Mapping[str, str]] = {"PREWARM_POOL_SIZE": "3", "USER_IDLE_PROMPT_S": "0", "USER_IDLE_END_S": "0"}

QUESTIONS: Final = ("Can you tell me a story?", "What time is it now?", "Can you tell me the time?")
SHORT: Final = ("It is about a quarter past two.", "Is there anything else?")
LONG: Final = (
    "The old harbour wakes long before sunrise.",
    "Seven boats return with silver fish and tired crews.",
    "Every baker nearby opens wooden doors.",
    "Children run past painted houses while church bells ring twice.",
    "Later some quiet gardener waters roses beneath a broken window.",
)  # the first sentence as long as SHORT's, no word twice
SOUNDS: Final = ("Mmmm.", "Hah.", "Kh.", "Mm hmm.", "Ha ha.")
VOICES: Final = ("Ashley", "Craig", "Olivia")
WORDS_S: Final = 0.9  # the peer's recogniser takes what is longer for words: each question is, and none of the sounds
SPEAKS_ON_S, INTO_S, SILENT_S, DONE_S = 1.0, 0.7, 0.5, 4.0
SETTLE_S, ROUND_S = 0.8, 120.0

NOTES: Final = (
    f"on both sides: STT final {STT_MS} ms after the end of the turn, which 0.2 s of silence end; "
    f"LLM {LLM_FIRST_MS} ms to the first token, {LLM_TOKEN_MS} ms a word; TTS {TTS_MS} ms",
    "ours: defaults, over the wire; livekit-agents: its own and its local VAD, stubs in its process",
    "its stubs speak a sentence at its full stop, which its own tokenizer would not yet be sure of: to its advantage",
)


class Side:
    """One of the two, and its figures."""

    def __init__(self, name: str, reply: Callable[[str], Awaitable[None]]) -> None:
        self.name, self.reply = name, reply
        self.callers: list[TalkingCaller] = []
        self.answer = Figure(f"{name}: end of the question to first audio", "ms")
        self.silent = Figure(f"{name}: interrupted to silent", "ms")
        self.resumed = Figure(f"{name}: longest silence around a sound", "ms")
        self.lost = Figure(f"{name}: words lost in an answer with {SOUNDS_PER_ANSWER} sounds", "")
        self.lost_in_all = Figure(f"{name}: words lost in all", "")
        self.sounds, self.failures, self.missing = 0, list[str](), Counter[str]()

    @property
    def figures(self) -> tuple[Figure, ...]:
        return self.answer, self.silent, self.resumed, self.lost, self.lost_in_all


@dataclass
class Trace:
    """Where our time goes.

    Attributes:
        heard: For each answer when it was heard (Unix, s) and what it took at the caller (ms).
        turns: When each turn was stored (Unix, s), and its stages.
    """

    heard: list[tuple[float, float]] = field(default_factory=list[tuple[float, float]])
    turns: list[tuple[float, Mapping[str, int]]] = field(default_factory=list[tuple[float, Mapping[str, int]]])

    async def follow(self, bus: Bus, session: str) -> None:
        async for stored in bus.replay(session_event(TurnFinished.event, session)):
            if isinstance(stored.event, TurnFinished) and "total" in stored.event.stage_ms:
                self.turns.append((stored.stored_ms / 1000, stored.event.stage_ms))

    def worst(self) -> list[dict[str, int]]:
        """The slowest answers with their stages in ms, the slowest first.

        `ear` is from the write of the first audio to the caller's ear; the others are `Marks.stage_ms`.
        """
        rows: list[dict[str, int]] = []
        for at, took_ms in sorted(self.heard, key=lambda one: -one[1])[:WORST]:
            stages = next((dict(stages) for stored_at, stages in self.turns if stored_at > at), {})
            total = stages.pop("total", 0)
            rows.append({"answer": round(took_ms), **stages} | ({"ear": round(took_ms) - total} if stages else {}))
        return rows


async def exchange(side: Side, question: Sound, reply: Sequence[str], trace: Trace | None) -> float:
    """Ask, and note how long the answer takes; returns when it was first heard."""
    caller = side.callers[0]
    await side.reply(" ".join(reply))
    _, ended = await caller.say(question)
    heard = await caller.first_loud(ended)
    note(side, trace, ended, heard)
    return heard


def note(side: Side, trace: Trace | None, ended: float, heard: float) -> None:
    side.answer.values.append((heard - ended) * 1000)
    if trace:
        trace.heard.append((time.time() - time.monotonic() + heard, (heard - ended) * 1000))


async def conversation(side: Side, questions: Sequence[Sound], trace: Trace | None) -> None:
    """A question, another one into its answer, and the answer to that."""
    caller = side.callers[0]
    await caller.quiet(SETTLE_S)
    caller.forget()
    heard = await exchange(side, questions[0], LONG, trace)
    await asyncio.sleep(heard + INTO_S - time.monotonic())
    await side.reply(" ".join(SHORT))
    began, ended = await caller.say(questions[1])
    answered = await caller.first_loud(ended + SILENT_S if caller.is_agent_audible() else ended)
    times = [at for at in caller.loud_times(heard) if at < answered]
    silent_at = next(
        (at for at, after in itertools.pairwise([*times, answered]) if at >= began and after - at > SILENT_S), None
    )
    if silent_at is None:
        raise TimeoutError("the agent had stopped before it was interrupted" if times[-1] < began else "it spoke on")
    side.silent.values.append((silent_at - began) * 1000)
    if silent_at < ended:
        note(side, trace, ended, answered)


async def annoyed(
    side: Side, caller: TalkingCaller, question: Sound, sounds: Sequence[Sound], barrier: asyncio.Barrier
) -> None:
    """One answer with sounds in it other than words; all calls of the round ask, and then make sounds, together."""
    heard = None
    try:
        await caller.quiet(SETTLE_S)
        caller.forget()
        _, ended = await caller.say(question)
        heard = await caller.first_loud(ended)
    except TimeoutError as error:
        side.failures.append(str(error))
    await barrier.wait()
    await barrier.wait()  # between the two the sandbox is told to hear no words
    if heard is not None:
        is_speaking = await _speaks(caller)
        for sound in sounds:
            if not is_speaking:
                break
            began, _ = await caller.say(sound)
            side.sounds += 1
            if is_speaking := await _speaks(caller):  # else the answer has ended; its words tell whether too early
                side.resumed.values.append(_longest_gap_ms(caller, began))
        with suppress(TimeoutError):
            await caller.quiet(DONE_S)


async def _speaks(caller: TalkingCaller) -> bool:
    """Wait until the agent has been speaking for SPEAKS_ON_S; False when it stays silent for DONE_S."""
    since = last = time.monotonic()
    while time.monotonic() - last < DONE_S:
        if caller.is_agent_audible():
            last = time.monotonic()
            if last - since > SPEAKS_ON_S:
                return True
        else:
            since = time.monotonic()
        await asyncio.sleep(0.02)
    return False


def _longest_gap_ms(caller: TalkingCaller, since: float) -> float:
    times = [since, *caller.loud_times(since), time.monotonic()]
    return max(after - at for at, after in itertools.pairwise(times)) * 1000


async def false_interruptions(
    sides: Sequence[Side],
    sandbox: Sandbox,
    sounds: Sequence[Sound],
    question: Sound,
    answer: Sequence[Spoken],
    rounds: int,
) -> None:
    """So many answers in each call, with sounds that the recogniser makes no words of."""
    turn = itertools.cycle(sounds)
    calls = [(side, caller) for side in sides for caller in side.callers]
    for _ in range(rounds):
        for side, _caller in calls:
            await side.reply(" ".join(LONG))
        barrier = asyncio.Barrier(len(calls) + 1)
        chosen = [next(turn) for _ in range(SOUNDS_PER_ANSWER)]
        async with asyncio.timeout(ROUND_S), asyncio.TaskGroup() as tasks:
            for side, caller in calls:
                tasks.create_task(annoyed(side, caller, question, chosen, barrier))
            await barrier.wait()
            await sandbox.hears_no_words()
            await barrier.wait()
        await sandbox.reset()
        for side, caller in calls:
            if caller.heard:
                recording = np.concatenate([frame.samples for frame in caller.heard])
                missing = await asyncio.to_thread(lost, answer, recording)
                side.lost.values.append(len(missing))
                side.missing.update(missing)


async def our_calls(stack: Stack, side: Side, calls: AsyncExitStack) -> list[str]:
    """Put so many of our callers into calls; returns their sessions."""
    client = await calls.enter_async_context(httpx.AsyncClient(base_url=stack.gateway_url, timeout=10))
    sessions: list[str] = []
    await until_warm(client, {Part.AGENT_RUNNER: 3})
    for _ in range(CALLS):
        session = new_session()
        since, body = time.monotonic(), {"userName": "Anna", "sessionId": session}
        (await client.post("/orchestrator/session/start", json=body)).raise_for_status()
        caller = TalkingCaller(stack.environment, token(stack.environment, session, caller_identity(session)))
        side.callers.append(await calls.enter_async_context(caller))
        await until_active(client, session)
        sessions.append(session)
        await caller.first_loud(since, within_s=20)
    return sessions


async def peers_calls(stack: Stack, peer: Peer, side: Side, calls: AsyncExitStack) -> None:
    for _ in range(CALLS):
        room = f"peer-{secrets.token_hex(6)}"
        await create_room(stack.environment, room)
        await peer.until_idle()
        caller = TalkingCaller(stack.environment, token(stack.environment, room, "caller"))
        side.callers.append(await calls.enter_async_context(caller))
        since = await peer.dispatch(room)
        await caller.first_loud(since, within_s=20)


@asynccontextmanager
async def stage(folder: Path, peer_turns: str | None) -> AsyncGenerator[tuple[Stack, Sandbox, list[Side], Trace]]:
    """Both sides with their calls, ready to be spoken to."""
    options = StackOptions(environment={**system_environment(), **OURS, **LATENCY})
    async with AsyncExitStack() as calls:
        stack = await calls.enter_async_context(running_stack(folder / "stack", options))
        address = stack.environment["INWORLD_HTTP_URL"]
        sandbox = Sandbox(await calls.enter_async_context(httpx.AsyncClient(base_url=address, timeout=20)))
        sides = [Side("greenroom", sandbox.reply)]
        if peer_turns:
            reply = folder / "peer_reply.txt"
            reply.write_text(" ".join(SHORT))
            settings = {
                **PEER_LATENCY,
                "PEER_REPLY": str(reply),
                "PEER_WORDS_S": str(WORDS_S),
                "PEER_TURNS": peer_turns,
            }
            peer = Peer(stack, lines=(*LONG, *SHORT), environment=settings)
            await peer.start()

            async def write(text: str) -> None:
                reply.write_text(text)

            sides.append(Side("livekit-agents", write))
            await peers_calls(stack, peer, sides[1], calls)
        sessions = await our_calls(stack, sides[0], calls)
        bus = await Bus.connect(stack.environment["NATS_URL"], name="bench", graceful_timeout_s=1)
        calls.push_async_callback(bus.close)
        trace = Trace()
        following = asyncio.create_task(trace.follow(bus, sessions[0]))
        calls.callback(following.cancel)
        yield stack, sandbox, sides, trace


async def said(stack: Stack, folder: Path, texts: Sequence[str], voices: Sequence[str]) -> list[Sound]:
    """These texts by these voices in turn, as sounds."""
    found: list[Sound] = []
    for n, text in enumerate(texts):
        for voice in voices:
            path = folder / f"{voice}_{n}_{len(text)}.wav"
            await record(stack, text, path, rate=RATE, voice=voice)
            found.append(Sound.of(path))
    return found


async def converse(
    sides: Sequence[Side], sandbox: Sandbox, trace: Trace, questions: Sequence[Sound], runs: int
) -> None:
    """So many conversations with each side, in turn; the first is not counted."""
    for run in range(runs + 1):
        for side in sides:
            try:
                await conversation(side, (questions[0], questions[1 + run % 2]), trace if side is sides[0] else None)
            except TimeoutError as error:
                side.failures.append(str(error))
                await sandbox.reset()
            if run == 0:
                for figure in side.figures:
                    figure.values.clear()
                trace.heard.clear()


def judged(sides: Sequence[Side]) -> list[Figure]:
    """All figures, ours set against the peer's, with the goals."""
    for side in sides:
        if side.lost.values:
            side.lost_in_all.values = [sum(side.lost.values)]
    sides[0].lost_in_all.goal = ("<=", 0)
    if len(sides) == 2:
        sides[0].answer.against, sides[0].answer.goal = sides[1].answer, ("<=", 0.9)
        sides[0].silent.against, sides[0].silent.goal = sides[1].silent, ("<=", 1.0)
        sides[0].resumed.against = sides[1].resumed
        sides[0].answer.goal_p95 = sides[0].silent.goal_p95 = True
    return [figure for pair in zip(*(side.figures for side in sides), strict=True) for figure in pair]


def notes(sides: Sequence[Side], peer_turns: str) -> list[str]:
    """What was counted, and what went wrong."""
    found = [*NOTES, f"what ends a turn: ours VAD and smart-turn, livekit-agents: {peer_turns}"]
    for side in sides:
        if side.missing:
            counted = ", ".join(f"{word} {times}" for word, times in side.missing.most_common())
            found.append(f"{side.name}: words lost: {counted}")
        found.append(f"{side.name}: {side.sounds} sounds while it spoke; {len(side.failures)} exchanges failed")
        found += [
            f"{side.name}: {why}, {len(list(same))} times" for why, same in itertools.groupby(sorted(side.failures))
        ]
    return found


def traced(worst: Sequence[Mapping[str, int]]) -> list[str]:
    head = f"our slowest {len(worst)} answers, ms (turn is a part of endpointing)"
    return [head, *("  " + "  ".join(f"{stage} {ms}" for stage, ms in row.items()) for row in worst)]


async def main() -> None:
    parser = arguments(__doc__ or "", runs=10)
    parser.add_argument("--rounds", type=int, default=5, help="answers with sounds, in each call (default %(default)s)")
    parser.add_argument(
        "--peer-turns", choices=PEER_TURNS, default=PEER_TURNS[0], help="what ends a turn of the peer's"
    )
    parser.add_argument("--without-peer", action="store_true", help="do not compare with livekit-agents")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="greenroom-bench-") as name:
        folder = Path(name)
        async with stage(folder, None if asked.without_peer else asked.peer_turns) as (stack, sandbox, sides, trace):
            questions = await said(stack, folder, QUESTIONS, ["Edward"])
            sounds = await said(stack, folder, SOUNDS, VOICES)
            answer = [await sandbox.speaks(sentence) for sentence in LONG]
            for what, some in (("questions", questions), ("sounds", sounds)):
                lengths = [sound.audible_s for sound in some]
                print(f"{what} of {min(lengths):.2f} to {max(lengths):.2f} s", file=sys.stderr)
            await converse(sides, sandbox, trace, questions, asked.runs)
            if asked.rounds:
                await false_interruptions(sides, sandbox, sounds, questions[0], answer, asked.rounds)
            worst = trace.worst()
    versions = {} if asked.without_peer else {"peer": pinned_version()}
    publish(
        "Turns: answers, interruptions, and sounds that are neither", judged(sides), asked.json,
        notes=notes(sides, asked.peer_turns), trace=traced(worst), **versions,
    )  # fmt: skip


if __name__ == "__main__":
    run_bench(main())
