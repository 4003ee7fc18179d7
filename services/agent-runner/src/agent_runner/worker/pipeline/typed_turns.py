"""What the caller types, as turns."""

# pyright: standard

import asyncio
import time
from contextlib import suppress
from typing import Final

from pipecat.frames.frames import InterruptionFrame, LLMMessagesAppendFrame, LLMRunFrame
from pipecat.pipeline.worker import PipelineWorker

from agent_runner.worker.pipeline.ear import Ear
from agent_runner.worker.pipeline.turn_start import FloorTurnStart
from agent_runner.worker.pipeline.typed_stop import TypedStop

_FLUSH_S: Final = 1.0

TOGETHER_S: Final = 0.1
"""Texts that come within this time of the one before are one turn: a client sends several lines as several texts."""


class TypedTurns:
    """Takes typed texts one after another. What is typed while a text is taken joins it: one turn, one answer."""

    def __init__(self, worker: PipelineWorker, ear: Ear, start: FloorTurnStart, stop: TypedStop) -> None:
        self._worker = worker
        self._ear = ear
        self._start = start
        self._stop = stop
        self._waiting: list[str] = []
        self._came_at = 0.0
        self._is_taking = False

    async def take(self, text: str) -> None:
        """Take the text as the caller's turn: it interrupts the agent, and the model answers it.

        A line that the caller cannot interrupt is said first. While the caller speaks the text is the end of the spoken
        turn instead, and one answer follows to both.
        """
        self._waiting.append(text)
        self._came_at = time.monotonic()
        if self._is_taking:
            return
        self._is_taking = True
        try:
            while self._waiting:
                await self._take_waiting()
        finally:
            self._is_taking = False

    async def _take_waiting(self) -> None:
        await self._all_of_them()  # before the interruption: a tool's result that waits for quiet would get in between
        if not self._start.floor.has_turn:
            await self._start.unprotected()
        if not self._start.floor.has_turn:
            await self._interrupt()
        await self._all_of_them()
        text = "\n".join(self._waiting)
        self._waiting.clear()
        if self._start.floor.has_turn:  # begun meanwhile, perhaps
            self._ear.user_added()
            await self._stop.add(text)
        else:
            self._ear.user_typed(text)
            message = LLMMessagesAppendFrame([{"role": "user", "content": text}], run_llm=False)
            message.interruptible = False
            await self._worker.queue_frames([message, LLMRunFrame()])  # an interruption drops only the request

    async def _all_of_them(self) -> None:
        """Wait until no text has come for TOGETHER_S; the limits on what a caller may type bound this."""
        while (left_s := self._came_at + TOGETHER_S - time.monotonic()) > 0:  # noqa: ASYNC110 - each text moves it
            await asyncio.sleep(left_s)

    async def _interrupt(self) -> None:
        await self._worker.queue_frames([InterruptionFrame()])
        with suppress(TimeoutError):  # the flush's own limit begins again with each frame
            async with asyncio.timeout(_FLUSH_S):
                await self._worker.flush_pipeline(_FLUSH_S)  # the interrupted answer comes into the context first
        await asyncio.sleep(0)  # and into the log
