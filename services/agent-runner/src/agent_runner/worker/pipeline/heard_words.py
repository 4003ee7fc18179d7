"""Lets the agent's words pass when the caller hears them, also after a pause."""

# pyright: standard

from collections.abc import Awaitable, Callable

from pipecat.frames.frames import (
    Frame,
    InterruptionFrame,
    LLMFullResponseEndFrame,
    LLMFullResponseStartFrame,
    TTSTextFrame,
)
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor

from agent_runner.worker.room.speech_clock import SpeechClock


class HeardWords(FrameProcessor):
    """Stands after the output, which sleeps until a word's time and does not know of a pause in between.

    An interruption cancels the wait, as it does in each of Pipecat's processors, and the word with it.
    """

    def __init__(
        self,
        clock: SpeechClock,
        on_word: Callable[[str], None],
        on_interruption: Callable[[], None],
        on_bound: Callable[[Frame], Awaitable[None]],
    ) -> None:
        """Make the processor.

        Args:
            on_interruption: Called when the output has discarded the audio that it had not sent.
            on_bound: Called with an answer's start and end, when what stands before is heard, and with an interruption
                that was passed on.
        """
        super().__init__()
        self._clock = clock
        self._on_word = on_word
        self._on_interruption = on_interruption
        self._on_bound = on_bound

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        if isinstance(frame, InterruptionFrame):
            self._on_interruption()
        elif isinstance(frame, TTSTextFrame):
            await self._clock.reach(frame.pts or 0)
            self._on_word(frame.text)
        elif isinstance(frame, LLMFullResponseStartFrame | LLMFullResponseEndFrame):
            await self._on_bound(frame)
        await self.push_frame(frame, direction)
        if isinstance(frame, InterruptionFrame):
            await self._on_bound(frame)
