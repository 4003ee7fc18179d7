"""The agent's audio into the room: it can be held within 50 ms, and goes on where it was held."""

# pyright: standard

import asyncio
import time
from collections.abc import Callable
from typing import Final, Literal, TypeAlias

from livekit import rtc
from loguru import logger

from agent_runner.worker.room.kept_audio import KeptAudio
from agent_runner.worker.room.speech_clock import SpeechClock
from chassis.tasks import Tasks

_AHEAD_S: Final = 0.2  # from the write of a frame until it is played, at most
_STEP_S: Final = 0.1  # of what is said again
_TAKES_S: Final = 1.0  # a queue that takes nothing for so long fails at the next write, which ends the call

_Reason: TypeAlias = Literal["sound", "absence", "outage"]
_Flow: TypeAlias = Literal["none", "again", "on"]


class Valve:
    """Stands before LiveKit's queue, which it empties at a hold and fills again at the release.

    The agent is held while the caller makes a sound, and while the caller is out of the room or its network is lost: a
    page that is loaded again in mid-answer, or a car behind a tunnel, goes on hearing it.

    Attributes:
        clock: Runs while audio may go out.
        is_ready: The caller can hear the agent.
        absences: How often the caller has left.
    """

    def __init__(self, source: Callable[[], rtc.AudioSource | None]) -> None:
        """`source` returns LiveKit's queue; None while there is no room."""
        self._source = source
        self.clock = SpeechClock()
        self._is_open = asyncio.Event()
        self.is_ready = False
        self.absences = 0
        self._cuts = 0
        self._reasons: set[_Reason] = set()  # to hold the audio
        self._holds = 0
        self._releasing = asyncio.Lock()  # LiveKit refuses a frame while it takes another
        self._tasks = Tasks()
        self._kept = KeptAudio()
        self._flow: _Flow = "none"  # into the queue: what the caller missed, or what it has not heard yet

    @property
    def is_paused(self) -> bool:
        """The audio is held, for any reason."""
        return self.is_ready and not self._is_open.is_set()

    @property
    def is_unreachable(self) -> bool:
        """The caller's network is lost."""
        return "outage" in self._reasons

    @property
    def missed_s(self) -> float:
        """Of the agent's audio that the caller missed, and hears again when it is back."""
        source = self._source()
        return 0.0 if source is None else len(self._kept.missed) / _size(1.0, source.sample_rate)

    def ready(self) -> None:
        """The caller can hear the agent."""
        if not self.is_ready:
            self.is_ready = True
            self._open()

    def not_ready(self) -> None:
        """The agent is in no room, or joins another one."""
        self.is_ready = False
        self._reasons.clear()
        self._flow = "none"
        self._is_open.clear()
        self.clock.stop()
        self._kept.discard()

    async def passes(self) -> bool:
        """Wait until audio may go out; False: the audio was discarded meanwhile."""
        cuts = self._cuts
        await self._is_open.wait()
        return cuts == self._cuts

    def writes(self, frame: rtc.AudioFrame) -> None:
        """Record a frame that goes into LiveKit's queue, which has it before it reports so."""
        self._kept.write(bytes(frame.data))

    def pause(self) -> None:
        """Hold the agent's audio: the caller hears silence within 50 ms, and nothing is lost."""
        if self.is_ready:
            self._hold("sound")

    async def resume(self) -> None:
        """Go on with what LiveKit's queue held at the pause, unless the audio is held again meanwhile.

        Returns before what was missed is said again, which takes seconds: the caller may interrupt it.
        """
        self._reasons.discard("sound")
        going_on = self._tasks.spawn(self._go_on())
        if not self._kept.missed:
            await going_on

    def away(self) -> None:
        """The caller left: hold the agent's audio."""
        self.absences += 1
        self._hold("absence")

    async def back(self, absences: int) -> None:
        """The caller can hear the agent: begin, or go on, unless the caller has left again since these `absences`."""
        if absences == self.absences:
            self.ready()
            self._reasons.discard("absence")
            await self._go_on()

    def lost(self, for_s: float) -> None:
        """The caller's network has been lost for these seconds: hold the agent's audio."""
        self._hold("outage", for_s)

    async def found(self) -> None:
        """The caller's network is there again: say again what it missed, and go on."""
        self._reasons.discard("outage")
        await self._go_on()

    def cut(self) -> None:
        """At an interruption: discard the audio that the caller has not heard, and let later audio pass."""
        source = self._source()
        if source is None:
            return
        self._cuts += 1
        self._kept.discard()
        self._reasons.discard("sound")
        if self.is_ready:
            source.clear_queue()
            self._open()

    def _open(self) -> None:
        if not self._reasons:
            self._flow = "on"
            self.clock.run()
            self._is_open.set()

    def _hold(self, reason: _Reason, missed_s: float = 0.0) -> None:
        self._reasons.add(reason)
        source = self._source()
        if source is None or not self.is_ready:
            return
        if self._flow != "none":
            size = _size(source.queued_duration, source.sample_rate)
            self._kept.take_queued(size, is_repeated=self._flow == "again")
            source.clear_queue()
            self._flow = "none"
            self._holds += 1
            self._is_open.clear()
            self.clock.stop()
        if missed_s:
            self._kept.take_since(time.monotonic() - missed_s - _AHEAD_S)

    async def _go_on(self) -> None:
        async with self._releasing:
            source, holds = self._source(), self._holds
            if source is None or not self.is_paused or self._reasons:
                return
            try:
                if await self._said_again(source):
                    unplayed, self._kept.unplayed = self._kept.unplayed, b""
                    self._flow = "on"
                    self.clock.run()
                    await self._write(source, unplayed)
            except Exception as error:  # the SDK raises nothing more precise
                logger.warning(f"what was in LiveKit's queue at the pause is lost: {type(error).__name__}: {error}")
                if holds == self._holds:
                    self._kept.discard()
            finally:
                if holds != self._holds:
                    source.clear_queue()
                elif self.is_ready:
                    self._open()

    async def _said_again(self, source: rtc.AudioSource) -> bool:
        """Write what the caller missed; False: held or cut meanwhile. Its words have counted: the clock waits."""
        if not self._kept.missed:
            return True
        self._flow = "again"
        holds, cuts, size = self._holds, self._cuts, _size(_STEP_S, source.sample_rate)
        while self._kept.missed:
            step, self._kept.missed = self._kept.missed[:size], self._kept.missed[size:]
            await self._write(source, step)
            if (holds, cuts) != (self._holds, self._cuts):
                return False
        await asyncio.sleep(source.queued_duration)
        return (holds, cuts) == (self._holds, self._cuts)

    async def _write(self, source: rtc.AudioSource, audio: bytes) -> None:
        if audio:
            self._kept.write(audio)
            async with asyncio.timeout(_TAKES_S):
                await source.capture_frame(rtc.AudioFrame(audio, source.sample_rate, 1, len(audio) // 2))


def _size(duration_s: float, rate: int) -> int:
    return 2 * round(duration_s * rate)
