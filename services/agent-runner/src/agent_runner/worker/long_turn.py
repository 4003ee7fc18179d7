"""An end for turns that have none: a caller who talks on and on, or a television."""

# pyright: standard

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from pipecat.frames.frames import Frame, TranscriptionFrame
from pipecat.turns.types import ProcessFrameResult
from pipecat.turns.user_stop import BaseUserTurnStopStrategy

_WORDS_S: Final = 1.5  # for the words that were still on their way


class LongTurnStop(BaseUserTurnStopStrategy):
    """Ends the caller's turn after a time, whoever goes on speaking: the agent answers what was said so far."""

    def __init__(self, longest_s: float, ask_for_words: Callable[[], Awaitable[None]]) -> None:
        """Nothing runs before a turn starts.

        Args:
            ask_for_words: Makes speech to text say what it has, which it would otherwise say at the next pause.
        """
        super().__init__()
        self._longest_s = longest_s
        self._ask_for_words = ask_for_words
        self._timer: asyncio.Task[None] | None = None
        self._words = asyncio.Event()

    async def handle_user_turn_started(self) -> None:
        """Start the clock."""
        await self._stop()
        self._timer = self.task_manager.create_task(self._run(), f"{self}::timer")

    async def handle_user_turn_stopped(self) -> None:
        """Stop it."""
        await self._stop()

    async def cleanup(self) -> None:
        """Stop it for good."""
        await super().cleanup()
        await self._stop()

    async def process_frame(self, frame: Frame) -> ProcessFrameResult:
        """Note words; decide nothing here."""
        if isinstance(frame, TranscriptionFrame):
            self._words.set()
        return ProcessFrameResult.CONTINUE

    async def _run(self) -> None:
        await asyncio.sleep(self._longest_s)
        self._words.clear()
        await self._ask_for_words()
        await asyncio.wait([asyncio.ensure_future(self._words.wait())], timeout=_WORDS_S)
        self._timer = None  # the end of the turn would otherwise cancel the task that brings it
        await self.trigger_user_turn_stopped()

    async def _stop(self) -> None:
        if self._timer is not None:
            timer, self._timer = self._timer, None
            await self.task_manager.cancel_task(timer)
