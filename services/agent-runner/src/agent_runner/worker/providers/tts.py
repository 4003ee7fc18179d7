"""The agent's voice, by Inworld: the first line from the cache, and only heard words count as said."""

# pyright: standard

import asyncio
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable
from typing import Any, Final, Self

from pipecat.frames.frames import Frame, TTSAudioRawFrame, TTSStartedFrame, TTSStoppedFrame, TTSTextFrame
from pipecat.processors.frame_processor import FrameDirection

from agent_runner.agent_config import AgentConfig
from agent_runner.domain.onset import silence_before
from agent_runner.domain.spacing import spaced
from agent_runner.worker.providers.early_connection import EarlyConnection
from agent_runner.worker.providers.first_line import FirstLine
from agent_runner.worker.providers.mended_speech import MendedSpeech
from agent_runner.worker.providers.ordered_speech import OrderedSpeech
from agent_runner.worker.providers.utterance import Utterance

_BACKOFF_S: Final = (0.5, 2.0)
_MUTE_CONTEXTS: Final = 2  # contexts in a row without audio, each tried three times: the voice is unusable


class TextToSpeech(OrderedSpeech, MendedSpeech):
    """The agent's voice: only what the caller heard counts as said.

    If a context breaks off, its part without audio is discarded and does not count as said.

    Attributes:
        on_lost: Called when the voice works but could not speak one utterance, with the seconds since its request.
    """

    on_lost: Callable[[float], None]
    _last_word = ""
    _last_recorded = ""  # in the model's spelling

    @classmethod
    def of(cls, config: AgentConfig) -> Self:
        first, *spare = config.tts_endpoints
        service = cls(
            api_key=first.key,
            url=first.url,
            sample_rate=config.tts_sample_rate,
            settings=cls.Settings(model=config.tts_model, temperature=config.tts_temperature),
            reconnect_backoff_min_wait=_BACKOFF_S[0],
            reconnect_backoff_max_wait=_BACKOFF_S[1],
            stop_frame_timeout_s=config.tts_silence_s,
            max_consecutive_zero_audio_contexts=_MUTE_CONTEXTS,
        )
        service._has_tried = asyncio.Event()
        service._connecting = asyncio.Lock()
        service._silence_s = config.tts_silence_s
        service._spare = deque(spare)
        service._utterances = {}
        service._early = EarlyConnection()
        service.first_line = FirstLine()
        return service

    async def on_turn_context_created(self, context_id: str) -> None:
        """An utterance begins. A cached first line opens no context at the provider."""
        if self._is_open and not self.first_line.is_expected:
            await super().on_turn_context_created(context_id)

    async def run_tts(self, text: str, context_id: str) -> AsyncGenerator[Frame | None, None]:
        """Have a sentence spoken; without a connection it waits for the next one."""
        is_new = not self.audio_context_available(context_id)
        if is_new or context_id not in self._utterances:
            self._utterances[context_id] = Utterance(context_id)
        utterance = self._utterances[context_id]
        self.first_line.begin(text, context_id)
        if self.first_line.is_played_in(context_id):
            self._reset_generation_timing()
            await self.create_audio_context(context_id)
            yield TTSStartedFrame(context_id=context_id)
            for item in self.first_line.items(self.sample_rate):
                await self.append_to_audio_context(context_id, item)
            await self.remove_audio_context(context_id)
            return
        if not self._is_open:
            await self._has_tried.wait()
        utterance.texts.append(text)
        if self._is_open or not self._receive_loop_running:
            async for frame in super().run_tts(text, context_id):
                yield frame
        elif is_new:
            self._reset_generation_timing()
            await self.create_audio_context(context_id)
            yield TTSStartedFrame(context_id=context_id)

    async def append_to_audio_context(self, context_id: str | None, frame: Any) -> None:
        """Record what arrives for a context, and cut the silence at its start."""
        utterance = self._utterances.get(context_id or "")
        if utterance is not None and isinstance(frame, TTSStoppedFrame):
            utterance.has_ended = True
            utterance.is_whole = utterance.has_audio and not utterance.missing
        elif utterance is not None and isinstance(frame, TTSAudioRawFrame) and not utterance.has_audio:
            utterance.has_audio = True
            silence = silence_before(frame.audio, frame.sample_rate)
            utterance.cut_s = silence / 2 / frame.sample_rate
            frame = TTSAudioRawFrame(frame.audio[silence:], frame.sample_rate, 1, context_id=context_id)
        if context_id:
            self.first_line.record(context_id, frame)
        await super().append_to_audio_context(context_id, frame)

    async def add_word_timestamps(
        self,
        word_times: list[tuple[str, float]],
        context_id: str | None = None,
        includes_inter_frame_spaces: bool | None = None,
        pre_merge_tokens: bool = False,
    ) -> None:
        """Shift the times of words by the silence that was cut at the context's start."""
        cut_s = 0.0
        if (utterance := self._utterances.get(context_id or "")) is not None:
            utterance.words += "".join(word for word, _at_s in word_times)
            cut_s = utterance.cut_s
        placed = [(word, max(0.0, at_s - cut_s)) for word, at_s in word_times]
        await super().add_word_timestamps(placed, context_id, includes_inter_frame_spaces, pre_merge_tokens)

    async def push_frame(self, frame: Frame, direction: FrameDirection = FrameDirection.DOWNSTREAM) -> None:
        """Give each word the space that stands before it.

        Pipecat's flag for words without spaces holds for the rest of a sentence, and would join its Latin words, too.
        """
        if isinstance(frame, TTSTextFrame):
            recorded = frame.raw_text or frame.text
            frame.includes_inter_frame_spaces = True
            frame.text, self._last_word = spaced(frame.text, self._last_word), frame.text
            if frame.append_to_context:
                frame.raw_text, self._last_recorded = spaced(recorded, self._last_recorded), recorded
        await super().push_frame(frame, direction)

    async def on_audio_context_interrupted(self, context_id: str) -> None:
        self.first_line.interrupted(context_id)
        await super().on_audio_context_interrupted(context_id)
        self._utterances.pop(context_id, None)

    async def on_audio_context_completed(self, context_id: str) -> None:
        utterance = self._utterances.pop(context_id, None)
        await super().on_audio_context_completed(context_id)
        if utterance is not None and utterance.is_lost and self.is_usable:
            self.on_lost(time.monotonic() - utterance.asked_at)

    async def _maybe_push_fallback_text(self, context_id: str) -> None:
        """Do nothing: Pipecat's own counts a context without word times as said, even after an interruption, twice."""
        self._context_texts.pop(context_id, None)
        self._contexts_with_timestamps.discard(context_id)

    async def _apply_force_complete(self, context_id: str) -> None:
        """Count words without a time as said only if the provider spoke the whole context."""
        utterance = self._utterances.get(context_id)
        if utterance is not None and utterance.is_whole:
            await super()._apply_force_complete(context_id)
        else:
            others = {slot.context_id for slot in self._aggregated_frame_sequencer._slots} - {context_id}
            self._aggregated_frame_sequencer.clear(keep_contexts=others)
