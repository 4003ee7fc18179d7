"""Inworld through Pipecat's service: sentences without audio are sent again, and only heard words count as said."""

# pyright: standard

import asyncio
import time
from collections import deque
from collections.abc import AsyncGenerator
from functools import partial
from typing import Any, Final, Self

from pipecat.frames.frames import Frame, TTSAudioRawFrame, TTSStartedFrame, TTSStoppedFrame
from pipecat.services.inworld.tts import InworldTTSService

from agent_runner.agent_config import AgentConfig, Endpoint
from agent_runner.domain.onset import silence_before
from agent_runner.worker.providers import tls
from agent_runner.worker.providers.early_connection import EarlyConnection
from agent_runner.worker.providers.failover import Failover
from agent_runner.worker.providers.first_line import FirstLine

_CONNECT_S: Final = 3.0  # websockets' own limit is 10
_BACKOFF_S: Final = (0.5, 2.0)
_FIRST_RETRIES_S: Final = (0.3, 1.0)  # Pipecat itself does not retry a first connection
_SILENCES: Final = 2  # of one sentence, until the service fails over or becomes unusable


class TextToSpeech(Failover, InworldTTSService):
    """Inworld over a WebSocket; `arm` connects it.

    A context is Pipecat's and Inworld's word for one utterance. Contexts without audio are sent again over each new
    connection. Of a context that broke off, the part without audio is discarded and does not count as said.
    """

    _armed = False
    _armed_at = 0.0
    _connecting: asyncio.Lock
    _silence_s = 0.0
    _early: EarlyConnection
    first_line: FirstLine
    _unheard: dict[str, list[str]]
    """context -> its texts, while it has neither audio nor an end."""
    _whole: set[str]
    """Contexts that the provider has spoken completely."""
    _cut_s: dict[str, float]
    """context -> seconds of silence removed at its start; its words shift by as much."""

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
        )
        service._connecting = asyncio.Lock()
        service._silence_s = config.tts_silence_s
        service._spare = deque(spare)
        service._unheard = {}
        service._whole = set()
        service._cut_s = {}
        service._early = EarlyConnection()
        service.first_line = FirstLine()
        return service

    def _move_to(self, endpoint: Endpoint) -> None:
        self._api_key, self._url = endpoint.key, endpoint.url

    async def arm(self, voice_id: str, speed: float) -> None:
        """Connect now, with this voice and speaking rate; after a few seconds of failed tries become unusable."""
        self._settings.voice = voice_id
        self._settings.speaking_rate = speed
        self._armed = True
        self._armed_at = time.monotonic()
        while self.is_usable:
            moves = self._moves
            for pause_s in (0.0, *_FIRST_RETRIES_S):
                await asyncio.sleep(pause_s)
                await self._connect()
                if self._websocket is not None:
                    if pause_s and not self._has_to_answer:
                        self.on_recovery()
                    return
                self.on_fault(time.monotonic() - self._armed_at)
                if not self.is_usable or moves != self._moves:  # the endpoint refuses the connection
                    break
            else:
                tries = 1 + len(_FIRST_RETRIES_S)
                await self.push_error(f"no connection after {tries} tries", force_treat_as_permanent=True)
            if moves == self._moves:
                return

    async def _connect(self) -> None:
        if self._armed:
            async with self._connecting:  # else a sentence without a connection would open a second one beside `arm`
                await super()._connect()

    async def _websocket_connect(self, uri: str, **options: Any) -> Any:
        if (early := self._early.take(uri)) is not None:
            return early
        return await super()._websocket_connect(uri, **{"open_timeout": _CONNECT_S, **tls.options(uri), **options})

    async def keep_connected(self) -> None:
        """Hold a connection open before the call; Inworld charges for characters, not for time."""
        headers = [("Authorization", f"Basic {self._api_key}")]
        options = {"open_timeout": _CONNECT_S, "additional_headers": headers, **tls.options(self._url)}
        await self._early.hold(self._url, partial(super()._websocket_connect, self._url, **options))

    @property
    def _has_to_answer(self) -> bool:
        return bool(self._unheard)

    async def on_turn_context_created(self, context_id: str) -> None:
        """An utterance begins. A cached first line opens no context at the provider."""
        if not self.first_line.is_expected:
            await super().on_turn_context_created(context_id)

    async def run_tts(self, text: str, context_id: str) -> AsyncGenerator[Frame | None, None]:
        """Have a sentence spoken; without a connection it waits for the next one."""
        is_new = not self.audio_context_available(context_id)
        self.first_line.begin(text, context_id)
        if self.first_line.is_played_in(context_id):
            self._reset_generation_timing()
            await self.create_audio_context(context_id)
            yield TTSStartedFrame(context_id=context_id)
            for item in self.first_line.items(self.sample_rate):
                await self.append_to_audio_context(context_id, item)
            await self.remove_audio_context(context_id)
            return
        if is_new or context_id in self._unheard:
            self._unheard.setdefault(context_id, []).append(text)
        if self._is_open or not self._receive_loop_running:
            async for frame in super().run_tts(text, context_id):
                yield frame
        elif is_new:
            self._reset_generation_timing()
            await self.create_audio_context(context_id)
            yield TTSStartedFrame(context_id=context_id)

    async def append_to_audio_context(self, context_id: str | None, frame: Any) -> None:
        """Record what arrives for a context, and cut the silence at its start."""
        if context_id and isinstance(frame, TTSAudioRawFrame | TTSStoppedFrame):
            was_silent = self._unheard.pop(context_id, None) is not None
            if isinstance(frame, TTSStoppedFrame) and not was_silent:
                self._whole.add(context_id)
            elif isinstance(frame, TTSAudioRawFrame) and was_silent:
                silence = silence_before(frame.audio, frame.sample_rate)
                self._cut_s[context_id] = silence / 2 / frame.sample_rate
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
        cut_s = self._cut_s.get(context_id or "", 0.0)
        placed = [(word, max(0.0, at_s - cut_s)) for word, at_s in word_times]
        await super().add_word_timestamps(placed, context_id, includes_inter_frame_spaces, pre_merge_tokens)

    async def _next_audio_context_item(self, context_id: str) -> Any:
        """The context's next item. A silent context is sent again over a new connection, then to the fallback."""
        item = await super()._next_audio_context_item(context_id)
        silences = 0
        while item is None and context_id in self._unheard and self.is_usable:
            silences += 1
            self.on_fault(self._silence_s)
            is_hopeless = silences >= _SILENCES or bool(self._spare)
            await self.push_error("a sentence brought no audio", force_treat_as_permanent=is_hopeless)
            if self.is_usable:
                self._abort_connection()
                item = await super()._next_audio_context_item(context_id)
        return item

    async def _close_connection_contexts(self) -> None:
        """Close the contexts that have audio; the others stay, to be sent over the next connection."""
        if self._disconnecting:
            await super()._close_connection_contexts()
            return
        for context_id in self.get_audio_contexts():
            if context_id not in self._unheard:
                await self.remove_audio_context(context_id)
        if self._turn_context_id and self._turn_context_id not in self._unheard:
            self._turn_context_id = None
            self._turn_context_id = self.create_context_id()

    async def _reconnect_websocket(self, attempt_number: int) -> bool:
        is_connected = await super()._reconnect_websocket(attempt_number)
        for context_id, texts in list(self._unheard.items()):
            await self._send_context(context_id)
            for text in texts:
                await self._send_text(context_id, text)
            if context_id != self._turn_context_id:
                await self._send_close_context(context_id)
        return is_connected

    async def _send_flush(self, context_id: str) -> None:
        if self._is_open and not self.first_line.is_played_in(context_id):
            await super()._send_flush(context_id)

    async def _send_close_context(self, context_id: str) -> None:
        if self._is_open and not self.first_line.is_played_in(context_id):
            await super()._send_close_context(context_id)

    async def on_audio_context_interrupted(self, context_id: str) -> None:
        self.first_line.interrupted(context_id)
        self._unheard.pop(context_id, None)
        self._cut_s.pop(context_id, None)
        await super().on_audio_context_interrupted(context_id)

    async def on_audio_context_completed(self, context_id: str) -> None:
        self._unheard.pop(context_id, None)
        self._cut_s.pop(context_id, None)
        self._whole.discard(context_id)
        await super().on_audio_context_completed(context_id)

    async def _maybe_push_fallback_text(self, context_id: str) -> None:
        """Do nothing: Pipecat's own counts a context without word times as said, even after an interruption, twice."""
        self._context_texts.pop(context_id, None)
        self._contexts_with_timestamps.discard(context_id)

    async def _apply_force_complete(self, context_id: str) -> None:
        """Count words without a time as said only if the provider spoke the whole context."""
        if context_id in self._whole:
            await super()._apply_force_complete(context_id)
        else:
            others = {slot.context_id for slot in self._aggregated_frame_sequencer._slots} - {context_id}
            self._aggregated_frame_sequencer.clear(keep_contexts=others)
