"""A time limit for the caller's turn: a caller who never pauses, or a television."""

# pyright: standard

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from pipecat.frames.frames import (
    Frame,
    TranscriptionFrame,
    VADUserStartedSpeakingFrame,
    VADUserStoppedSpeakingFrame,
)
from pipecat.turns.types import ProcessFrameResult
from pipecat.turns.user_stop import BaseUserTurnStopStrategy

from chassis.tasks import first_of

_WORDS_S: Final = 1.5  # timeout for the last words from speech to text


class LongTurnStop(BaseUserTurnStopStrategy):
    """Ends the caller's turn after `longest_s`, even during speech: the agent answers the words so far.

    Pipecat refuses to end a turn while the caller speaks. So this ends the speech, for all that listen to it; what the
    caller says from then on is the next turn, and can interrupt the answer.
    """

    def __init__(
        self, longest_s: float, ask_for_words: Callable[[], Awaitable[None]], end_speech: Callable[[], None]
    ) -> None:
        """Make a strategy; the timer starts with the turn.

        Args:
            ask_for_words: Makes speech to text send the words so far, which it would otherwise send at the next pause.
            end_speech: Makes the VAD report the end of speech.
        """
        super().__init__()
        self._longest_s = longest_s
        self._ask_for_words = ask_for_words
        self._end_speech = end_speech
        self._timer: asyncio.Task[None] | None = None
        self._words = asyncio.Event()
        self._is_speaking = False
        self._has_ended = False

    async def handle_user_turn_started(self) -> None:
        await self._stop()
        self._timer = self.task_manager.create_task(self._run(), f"{self}::timer")

    async def handle_user_turn_stopped(self) -> None:
        await self._stop()

    async def cleanup(self) -> None:
        await super().cleanup()
        await self._stop()

    async def process_frame(self, frame: Frame) -> ProcessFrameResult:
        if isinstance(frame, TranscriptionFrame):
            self._words.set()
        elif isinstance(frame, VADUserStartedSpeakingFrame):
            self._is_speaking = True
        elif isinstance(frame, VADUserStoppedSpeakingFrame):
            self._is_speaking = False
            if self._has_ended:
                await self.trigger_user_turn_stopped()
        return ProcessFrameResult.CONTINUE

    async def _run(self) -> None:
        await asyncio.sleep(self._longest_s)
        self._words.clear()
        await self._ask_for_words()
        await first_of(self._words.wait(), timeout_s=_WORDS_S)
        self._timer = None  # else the end of the turn would cancel this task
        if self._is_speaking:
            self._has_ended = True
            self._end_speech()
        else:
            await self.trigger_user_turn_stopped()

    async def _stop(self) -> None:
        self._has_ended = False
        if self._timer is not None:
            timer, self._timer = self._timer, None
            await self.task_manager.cancel_task(timer)
