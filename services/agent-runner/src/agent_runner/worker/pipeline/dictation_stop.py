"""Pipecat's strategies for the end of the caller's turn, with a longer wait while the caller dictates."""

# pyright: standard

import asyncio
import time
from contextlib import suppress
from typing import Any, Final

from pipecat.frames.frames import (
    Frame,
    InterimTranscriptionFrame,
    TranscriptionFrame,
    VADUserStartedSpeakingFrame,
    VADUserStoppedSpeakingFrame,
)
from pipecat.turns.types import ProcessFrameResult
from pipecat.turns.user_stop import (
    BaseUserTurnStopStrategy,
    SpeechTimeoutUserTurnStopStrategy,
    TurnAnalyzerUserTurnStopStrategy,
)

from agent_runner.domain.dictation import is_dictating
from agent_runner.worker.pipeline.typed_stop import TypedStop

_QUESTION_MARKS: Final = ("?", "？", "؟")
_QUESTION_S: Final = 0.3  # of silence after a question
_CLEARS_S: Final = 3.0  # longest wait for the end of what the turn interrupted

Base: Any = BaseUserTurnStopStrategy  # the mixin precedes a strategy that derives from it


class DictationStop(Base):
    """A mixin: a turn that the strategy would end amid a dictation ends `wait_s` after the speech, if no more comes.

    Any other turn ends `least_s` after it at the earliest, and after what the turn interrupted has ended.
    """

    def __init__(
        self, *, wait_s: float, least_s: float = 0.0, is_clear: asyncio.Event | None = None, **options: Any
    ) -> None:
        """Make a strategy; see `FloorTurnStart` for `is_clear`."""
        super().__init__(**options)
        self._is_clear = is_clear
        self._wait_s = wait_s
        self._least_s = least_s
        self._words = ""
        self._interim = ""
        self._silent_since = 0.0
        self._is_speaking = False
        self._waiting: asyncio.Task[None] | None = None

    async def handle_user_turn_stopped(self) -> None:
        self._words = self._interim = ""
        await self._stop_waiting()
        await super().handle_user_turn_stopped()

    async def cleanup(self) -> None:
        await super().cleanup()
        await self._stop_waiting()

    async def process_frame(self, frame: Frame) -> ProcessFrameResult:
        if isinstance(frame, TranscriptionFrame):
            self._words, self._interim = f"{self._words} {frame.text}", ""
        elif isinstance(frame, InterimTranscriptionFrame):
            self._interim = frame.text
        elif isinstance(frame, VADUserStartedSpeakingFrame):
            await self._stop_waiting()
        elif isinstance(frame, VADUserStoppedSpeakingFrame):
            self._silent_since = time.monotonic() - frame.stop_secs
        return await super().process_frame(frame)

    async def trigger_user_turn_stopped(self, *, enable_user_speaking_frames: bool | None = None) -> None:
        await self._stop_waiting()
        is_dictated = is_dictating(f"{self._words} {self._interim}")
        left_s = self._left_s(self._wait_s if is_dictated else 0.0)
        if left_s > 0 or (self._is_clear is not None and not self._is_clear.is_set()):
            self._waiting = self.task_manager.create_task(self._wait(left_s), f"{self}::dictation")
        else:
            await super().trigger_user_turn_stopped(enable_user_speaking_frames=enable_user_speaking_frames)

    def _left_s(self, wait_s: float) -> float:
        """Seconds until the turn may end, `wait_s` after the speech."""
        return max(0.0, self._silent_since + max(self._least_s, wait_s) - time.monotonic())

    async def _wait(self, left_s: float) -> None:
        await asyncio.sleep(left_s)
        if self._is_clear is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout(_CLEARS_S):
                    await self._is_clear.wait()
        self._waiting = None  # else the end of the turn would cancel this task
        await super().trigger_user_turn_stopped()

    async def _stop_waiting(self) -> None:
        if self._waiting is not None:
            waiting, self._waiting = self._waiting, None
            await self.task_manager.cancel_task(waiting)


class SmartTurnStop(DictationStop, TypedStop, TurnAnalyzerUserTurnStopStrategy):
    """The end that smart-turn detects, or a question mark.

    smart-turn hears a flat voice's question as unfinished, and would wait SMART_TURN_STOP_SECS. Its model takes 0.1 s
    of CPU, and on a busy host three times as long: it runs beside the frames that follow, the transcript among them.
    """

    _deciding: asyncio.Task[ProcessFrameResult] | None = None

    async def handle_user_turn_started(self) -> None:
        await self._stop_deciding()
        await super().handle_user_turn_started()

    async def handle_user_turn_stopped(self) -> None:
        await self._stop_deciding()
        await super().handle_user_turn_stopped()

    async def cleanup(self) -> None:
        await self._stop_deciding()
        await super().cleanup()

    async def process_frame(self, frame: Frame) -> ProcessFrameResult:
        if isinstance(frame, VADUserStartedSpeakingFrame | VADUserStoppedSpeakingFrame):
            self._is_speaking = isinstance(frame, VADUserStartedSpeakingFrame)
            await self._stop_deciding()
        if isinstance(frame, VADUserStoppedSpeakingFrame):
            self._deciding = self.task_manager.create_task(super().process_frame(frame), f"{self}::deciding")
            await asyncio.sleep(0)  # it takes note of the silence, and waits for the model
            return ProcessFrameResult.CONTINUE
        result = await super().process_frame(frame)
        is_asked = isinstance(frame, TranscriptionFrame) and frame.text.rstrip().endswith(_QUESTION_MARKS)
        if is_asked and self._words and not self._is_speaking and self._waiting is None:
            self._waiting = self.task_manager.create_task(self._wait(self._left_s(_QUESTION_S)), f"{self}::question")
        return result

    async def trigger_user_turn_stopped(self, *, enable_user_speaking_frames: bool | None = None) -> None:
        if self._deciding is asyncio.current_task():
            self._deciding = None  # else the end of the turn, or the caller's next sound, would cancel this task
        await super().trigger_user_turn_stopped(enable_user_speaking_frames=enable_user_speaking_frames)

    async def _stop_deciding(self) -> None:
        if self._deciding is not None:
            deciding, self._deciding = self._deciding, None
            await self.task_manager.cancel_task(deciding)


class SilenceStop(DictationStop, TypedStop, SpeechTimeoutUserTurnStopStrategy):
    """The end by a silence."""
