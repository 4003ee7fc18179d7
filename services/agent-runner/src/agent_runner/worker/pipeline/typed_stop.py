"""The end of the caller's turn in which the caller both speaks and types."""

# pyright: standard

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Final

from pipecat.frames.frames import (
    Frame,
    InterimTranscriptionFrame,
    TranscriptionFrame,
    VADUserStartedSpeakingFrame,
    VADUserStoppedSpeakingFrame,
)
from pipecat.turns.types import ProcessFrameResult
from pipecat.turns.user_stop import BaseUserTurnStopStrategy
from pipecat.utils.time import time_now_iso8601

WORDS_S: Final = 3.0
"""Longest wait for the recogniser's last words after the caller's sound."""

SOUND_S: Final = 2.0
"""A sound that goes on: without a word for so long the recogniser is asked for one, and then has so long again."""

Base: Any = BaseUserTurnStopStrategy  # the mixin precedes a strategy that derives from it


@dataclass
class TypedFrame(TranscriptionFrame):
    """Text that the caller typed: the last words of the caller's turn."""

    interruptible: bool = field(default=False, init=False)


class TypedStop(Base):
    """A mixin: typed text joins the caller's open turn, which then ends as soon as the caller pauses.

    The text stands behind what was spoken, so it waits for the last words of the recogniser. A sound that has no words
    (a fan, a hum) is ended for all that listen to it, since Pipecat refuses to end a turn while the caller speaks.
    """

    def __init__(
        self,
        *,
        ask_for_words: Callable[[], Awaitable[None]],
        end_speech: Callable[[], None],
        words_s: float = WORDS_S,
        sound_s: float = SOUND_S,
        **options: Any,
    ) -> None:
        """Make a strategy; see `LongTurnStop` for the two callbacks."""
        super().__init__(**options)
        self._ask_for_words = ask_for_words
        self._end_speech = end_speech
        self._words_s = words_s
        self._sound_s = sound_s
        self._typed = ""
        self._is_due = False  # the turn has typed text and ends at the next pause
        self._is_sounding = False
        self._owes_words = False
        self._was_asked = False  # the recogniser, for the words of a sound that goes on
        self._changed_at = 0.0  # a word came, or the sound began or ended
        self._timer: asyncio.TimerHandle | None = None

    async def add(self, text: str) -> None:
        """Add typed text to the open turn; if there is none by then, the text is a separate turn."""
        self._typed = f"{self._typed}\n{text}" if self._typed else text
        self._is_due = True
        if self._owes_words and not self._is_sounding:
            await self._ask_for_words()
        self._look_later()

    async def trigger_user_turn_stopped(self, *, enable_user_speaking_frames: bool | None = None) -> None:
        if self._typed:
            await self._release_typed()
        else:
            await super().trigger_user_turn_stopped(enable_user_speaking_frames=enable_user_speaking_frames)

    async def handle_user_turn_stopped(self) -> None:
        self._is_due = self._owes_words = self._was_asked = False
        await super().handle_user_turn_stopped()
        await self._release_typed()  # something else ended the turn: the text is the next one

    async def cleanup(self) -> None:
        self._stop_looking()
        await super().cleanup()

    async def process_frame(self, frame: Frame) -> ProcessFrameResult:
        match frame:
            case TypedFrame():
                self._is_due = True
                if self._is_sounding:
                    self._look_later()
                else:
                    await self._end_typed()
                return ProcessFrameResult.STOP
            case TranscriptionFrame():
                self._owes_words = self._was_asked = False
            case InterimTranscriptionFrame():
                self._owes_words, self._was_asked = True, False
            case VADUserStartedSpeakingFrame():
                self._is_sounding = self._owes_words = True
                self._was_asked = False
            case VADUserStoppedSpeakingFrame():
                self._is_sounding = self._was_asked = False
            case _:
                return await super().process_frame(frame)
        self._changed_at = time.monotonic()
        result = await super().process_frame(frame)
        self._look_later()
        return result

    def _look_later(self) -> None:
        """Look again when no word and no end of the sound has come for so long."""
        self._stop_looking()
        if self._is_due:
            wait_s = self._sound_s if self._is_sounding else self._words_s if self._owes_words else 0.0
            left_s = max(0.0, self._changed_at + wait_s - time.monotonic())
            self._timer = asyncio.get_running_loop().call_later(left_s, self._on_time)

    def _on_time(self) -> None:
        self._timer = None
        self.task_manager.create_task(self._end_typed(), f"{self}::typed")

    async def _end_typed(self) -> None:
        if not self._is_due:
            return
        if self._is_sounding and not self._was_asked:
            self._was_asked, self._changed_at = True, time.monotonic()
            await self._ask_for_words()
            self._look_later()
        elif self._is_sounding:
            self._owes_words = self._was_asked = False
            self._changed_at = time.monotonic()
            self._end_speech()
            self._look_later()
        elif self._typed:
            await self._release_typed()
        else:
            self._is_due = False
            await super().trigger_user_turn_stopped()

    async def _release_typed(self) -> None:
        """Put the text behind the turn's words; the turn ends with it."""
        self._stop_looking()
        text, self._typed, self._is_due = self._typed, "", False
        if text:
            await self.push_frame(TypedFrame(text, "", time_now_iso8601()))

    def _stop_looking(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
