"""The words and the bounds of utterances that follow each other at once leave the voice in one order, on one clock."""

# pyright: standard

from typing import Final

from pipecat.frames.frames import (
    Frame,
    LLMFullResponseEndFrame,
    LLMFullResponseStartFrame,
    TTSAudioRawFrame,
    TTSStartedFrame,
)
from pipecat.processors.frame_processor import FrameDirection
from pipecat.services.tts_service import TTSService

_BOUNDS: Final = (TTSStartedFrame, LLMFullResponseStartFrame, LLMFullResponseEndFrame)
_NS: Final = 1_000_000_000


class OrderedSpeech(TTSService):
    """Mix in before a text-to-speech service whose words have times.

    The output plays frames without a time behind the audio, which it writes ahead of what is heard, and frames with
    one by the clock. So the next utterance could begin before the last word of the one before. Pipecat also times its
    words from that last word's start, not from its end, and its first word then came before the end of that turn.
    """

    _played_until_ns = 0  # on the pipeline's clock: the audio so far

    async def push_frame(self, frame: Frame, direction: FrameDirection = FrameDirection.DOWNSTREAM) -> None:
        """Place an utterance's bounds between its words and those of its neighbours."""
        if isinstance(frame, _BOUNDS) and direction is FrameDirection.DOWNSTREAM:
            self._word_timestamp_tracker.last_pts += 1
            frame.pts = self._word_timestamp_tracker.last_pts
        elif isinstance(frame, TTSAudioRawFrame):
            begins = max(self._played_until_ns, self.get_clock().get_time())
            self._played_until_ns = begins + _NS * len(frame.audio) // (2 * frame.num_channels * frame.sample_rate)
        await super().push_frame(frame, direction)

    async def start_word_timestamps(self) -> None:
        """Time an utterance's words from the end of the audio before it."""
        tracker = self._word_timestamp_tracker
        tracker.last_pts = max(tracker.last_pts, self._played_until_ns)
        await super().start_word_timestamps()

    async def _interrupt_audio_contexts(self) -> None:
        await super()._interrupt_audio_contexts()
        self._played_until_ns = 0
