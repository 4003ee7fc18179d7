"""Places a whole scripted call: start, join, speak and listen turn by turn, end, bill."""

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Protocol, TypeVar

from contracts.api import SessionBill, StartReply, StartRequest
from contracts.deadlines import STARTUP_S
from greenroom_cli.call.audio import Speech
from greenroom_cli.call.ear import Utterance
from greenroom_cli.call.participant import Call
from greenroom_cli.call.report import CallReport, Timeline, Turn
from greenroom_cli.call.transcriber import Transcriber
from greenroom_cli.call.voice import speak
from greenroom_cli.errors import CommandError
from greenroom_cli.gateway import Gateway, GatewayRefused
from greenroom_cli.settings import Settings

DEMO_SCRIPT = ("What time is it?", "What did you just say?")
AGENT_JOINS_S = STARTUP_S + 5
FIRST_SOUND_S = 15.0
OPENING_S = 60.0
REPLY_S = 30.0
NO_KEY_FIX = "set it, or name the folder of a stack with --state, or start one: greenroom up"
BILL_S = 15.0
BILL_PAUSE_S = 0.25
# Tolerance of a recogniser's clock: speech that began this long before a question still belongs to its answer.
SLACK_MS = 300

T = TypeVar("T")


class StepFailed(CommandError):
    """A step of a call failed.

    Attributes:
        step: Its name in `Steps`.
    """

    def __init__(self, step: str, cause: CommandError) -> None:
        super().__init__(f"{step}: {cause.problem}", cause.fix)
        self.step = step


class Steps(Protocol):
    """Receives each step after it has succeeded."""

    def __call__(self, step: str, seconds: float | None = None, /) -> None: ...


@dataclass(frozen=True)
class Script:
    """The caller's part.

    Attributes:
        request: The body of the start.
        says: One sentence per turn.
        voice: The caller's voice, different from the agent's, so that a recording distinguishes them.
    """

    request: StartRequest
    says: Sequence[str] = DEMO_SCRIPT
    voice: str = "Edward"


async def place_call(settings: Settings, script: Script, recording: Path, steps: Steps) -> CallReport:
    """Place one call through the gateway, and end it through the gateway.

    Raises:
        StepFailed: Names the step, the cause and the fix. The session is ended anyway.
    """
    async with Gateway(settings.greenroom_url, settings.api_key) as gateway:
        await _step("gateway", gateway.check())  # without a gateway a missing key does not matter
        speeches = await _step("caller's voice", _synthesise(settings, script))
        steps(f"caller's voice synthesised ({script.voice})")
        async with _open_ear(settings) as ear, Call(recording, ear.feed) as call:
            return await _Conversation(gateway, call, ear, steps).hold(script, speeches, recording)


class _Conversation:
    def __init__(self, gateway: Gateway, call: Call, ear: Transcriber, steps: Steps) -> None:
        self._gateway, self._call, self._ear, self._steps = gateway, call, ear, steps
        self._zero = 0.0

    async def hold(self, script: Script, speeches: Sequence[Speech], recording: Path) -> CallReport:
        self._zero = time.monotonic()
        started = await _step("POST /orchestrator/session/start", self._gateway.start(script.request))
        answered_s = self._since()
        self._steps(f"POST answered: {started.session_id}", answered_s)
        try:
            timeline = await self._meet(started, answered_s)
            opening = await _step("opening line", self._call.listen(OPENING_S))
            self._steps("opening line heard", self._since(opening.ended_at))
            spoken = [await self._turn(speech) for speech in speeches]
        except BaseException:
            await self._call.leave()
            await self._end_quietly(started.session_id)
            raise
        await self._call.leave()
        end = await _step("POST /orchestrator/session/end", self._gateway.end(started.session_id))
        ended_s = self._since()
        self._steps("session ended", ended_s)
        await _step("transcription", self._ear.end_audio())
        opening_text, turns = self._words(speeches, spoken)
        bill = await _step("bill", self._bill(started.session_id))
        self._steps("billed", self._since())
        return CallReport(
            session_id=started.session_id,
            timeline=Timeline(*timeline, ended_s),
            opening=opening_text,
            turns=turns,
            end=end,
            bill=bill,
            recording=recording,
        )

    async def _meet(self, started: StartReply, answered_s: float) -> tuple[float, float, float, float]:
        seen: list[tuple[float, str]] = []  # in the order of the questions, which is not that of the times
        try:
            await _step("joining the room", self._call.join(started.server_url, started.token))
            joined_s = self._since()
            seen.append((joined_s, "caller joined"))
            agent_s = self._since(await _step("agent joined", self._call.agent_joined(AGENT_JOINS_S)))
            seen.append((agent_s, "agent joined"))
            sound_s = self._since(await _step("first audio", self._call.first_sound(FIRST_SOUND_S)))
            seen.append((sound_s, "first audio"))
        finally:
            for at_s, step in sorted(seen):
                self._steps(step, at_s)
        return answered_s, joined_s, agent_s, sound_s

    async def _turn(self, speech: Speech) -> tuple[int, float, Utterance]:
        """Return the start of the turn in the heard audio, the time at which the caller fell silent, and the answer."""
        name = f"answer to {speech.text!r}"
        asked_ms = self._call.ear.position_ms
        until = await _step(name, self._call.say(speech))
        answer = await _step(name, self._call.listen(REPLY_S))
        self._steps(f"{name} after {answer.began_at - until:.2f} s", self._since(answer.ended_at))
        return asked_ms, until, answer

    def _words(
        self, speeches: Sequence[Speech], spoken: Sequence[tuple[int, float, Utterance]]
    ) -> tuple[str, tuple[Turn, ...]]:
        """Divide the transcript at the times at which the caller began to speak."""
        cuts = [0, *(asked_ms - SLACK_MS for asked_ms, _, _ in spoken), self._call.ear.position_ms + SLACK_MS]
        heard = [self._ear.between(start, end) for start, end in pairwise(cuts)]
        for name, words in zip(["the opening line", *(repr(s.text) for s in speeches)], heard, strict=True):
            if not words:
                cause = CommandError("sound was heard, but no word was recognised", "listen to the recording")
                raise StepFailed(f"transcript of the answer to {name}", cause)
        turns = [
            Turn(speech.text, words, self._since(until), self._since(answer.began_at), self._since(answer.ended_at))
            for speech, words, (_, until, answer) in zip(speeches, heard[1:], spoken, strict=True)
        ]
        return heard[0], tuple(turns)

    async def _bill(self, session_id: str) -> SessionBill:
        deadline = time.monotonic() + BILL_S
        while True:
            try:
                return await self._gateway.session_bill(session_id)
            except GatewayRefused as refusal:
                if refusal.status != 404 or time.monotonic() > deadline:
                    raise
            await asyncio.sleep(BILL_PAUSE_S)

    async def _end_quietly(self, session_id: str) -> None:
        """End the failed session; log an error here, since the first error is the one to report."""
        try:
            await self._gateway.end(session_id)
        except CommandError as error:
            self._steps(f"ending the failed session did not work either: {error.problem}")

    def _since(self, moment: float | None = None) -> float:
        return (time.monotonic() if moment is None else moment) - self._zero


async def _synthesise(settings: Settings, script: Script) -> list[Speech]:
    if not settings.inworld_api_key:
        raise CommandError("INWORLD_API_KEY is not set", NO_KEY_FIX)
    http_url, key = settings.inworld_http_url, settings.inworld_api_key
    return [await speak(text, voice=script.voice, http_url=http_url, api_key=key) for text in script.says]


@asynccontextmanager
async def _open_ear(settings: Settings) -> AsyncGenerator[Transcriber]:
    if not settings.assembly_api_key:
        raise StepFailed("caller's ear", CommandError("ASSEMBLY_API_KEY is not set", NO_KEY_FIX))
    connecting: Awaitable[Transcriber] = Transcriber.connect(settings.assembly_host, settings.assembly_api_key)
    ear = await _step("caller's ear", connecting)
    try:
        yield ear
    finally:
        await ear.close()


async def _step(name: str, work: Awaitable[T]) -> T:
    try:
        return await work
    except CommandError as cause:
        raise StepFailed(name, cause) from cause
