"""Inworld through Pipecat's service: texts without audio are sent again, and only heard words count as said."""

# pyright: standard

import asyncio
import json
import time
import uuid
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator
from functools import partial
from typing import Any, Final, Self

from loguru import logger
from pipecat.frames.frames import Frame, TTSAudioRawFrame, TTSStartedFrame, TTSStoppedFrame
from pipecat.services.inworld.tts import InworldTTSService
from pipecat.transcriptions.language import Language

from agent_runner.agent_config import AgentConfig
from agent_runner.domain.onset import silence_before
from agent_runner.domain.utterance import SHORT, pieces, remedy
from agent_runner.endpoints import Endpoint
from agent_runner.worker.providers import tls
from agent_runner.worker.providers.early_connection import EarlyConnection
from agent_runner.worker.providers.failover import Failover
from agent_runner.worker.providers.first_line import FirstLine
from agent_runner.worker.providers.spoken_language import for_inworld, spoken
from agent_runner.worker.providers.spoken_text import SpokenText
from agent_runner.worker.providers.utterance import Connection, Utterance, result_of

_CONNECT_S: Final = 3.0  # websockets' own limit is 10
_BACKOFF_S: Final = (0.5, 2.0)
_FIRST_RETRIES_S: Final = (0.3, 1.0)  # Pipecat itself does not retry a first connection
_SILENCES: Final = 2  # of one sentence, until the service fails over or becomes unusable
_MUTE_CONTEXTS: Final = 2  # contexts in a row without audio, each tried three times: the voice is unusable
_NOT_FOUND: Final = 5  # Inworld's code for a context or a voice that it does not know


class TextToSpeech(Failover, SpokenText, InworldTTSService):
    """Inworld over a WebSocket; `arm` connects it.

    A context is Pipecat's and Inworld's word for one utterance. Contexts without audio are sent again over each new
    connection. Of a context that broke off, the part without audio is discarded and does not count as said. A text that
    is refused or completes without audio is asked for again, then in shorter pieces, then at the second endpoint
    (docs/decisions/0038).
    """

    _armed = False
    _armed_at = 0.0
    _connecting: asyncio.Lock
    _silence_s = 0.0
    _early: EarlyConnection
    first_line: FirstLine
    _utterances: dict[str, Utterance]

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
        service._connecting = asyncio.Lock()
        service._silence_s = config.tts_silence_s
        service._spare = deque(spare)
        service._utterances = {}
        service._early = EarlyConnection()
        service.first_line = FirstLine()
        return service

    def _move_to(self, endpoint: Endpoint) -> None:
        self._api_key, self._url = endpoint.key, endpoint.url

    async def arm(self, voice_id: str, speed: float, language: str | None) -> None:
        """Connect now, with this voice, rate and language; after a few seconds of failed tries become unusable."""
        self._settings.voice = voice_id
        self._settings.speaking_rate = speed
        self._settings.language = for_inworld(language)
        self._text_aggregator.set_language(spoken(language) or Language.EN)  # where a sentence ends
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
        return any(utterance.is_unheard for utterance in self._utterances.values())

    def _is_unheard(self, context_id: str) -> bool:
        return (utterance := self._utterances.get(context_id)) is not None and utterance.is_unheard

    async def on_turn_context_created(self, context_id: str) -> None:
        """An utterance begins. A cached first line opens no context at the provider."""
        if not self.first_line.is_expected:
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
            utterance.is_over = True
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

    async def _next_audio_context_item(self, context_id: str) -> Any:
        """The context's next item. A silent context is sent again over a new connection, then to the fallback."""
        item = await super()._next_audio_context_item(context_id)
        silences = 0
        while item is None and self._is_unheard(context_id) and self.is_usable:
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
            if not self._is_unheard(context_id):
                await self.remove_audio_context(context_id)
        if self._turn_context_id and not self._is_unheard(self._turn_context_id):
            self._turn_context_id = None
            self._turn_context_id = self.create_context_id()

    async def _reconnect_websocket(self, attempt_number: int) -> bool:
        is_connected = await super()._reconnect_websocket(attempt_number)
        for context_id, utterance in list(self._utterances.items()):
            if utterance.is_unheard:
                await self._send_again(context_id, utterance, utterance.texts)
        return is_connected

    async def _send_again(self, context_id: str, utterance: Utterance, texts: list[str]) -> None:
        """Ask for these texts in a new context, whose audio continues the utterance."""
        utterance.wire_id = str(uuid.uuid4())
        utterance.is_created = False
        await self._send_context(context_id)
        for text in texts:
            await self._send_text(context_id, text)
        if context_id == self._turn_context_id:
            await self._send_flush(context_id)
        else:
            await self._send_close_context(context_id)

    def _get_websocket(self) -> Connection:
        websocket = super()._get_websocket()
        return Connection(websocket, self._read(websocket))

    async def _read(self, websocket: AsyncIterator[str]) -> AsyncIterator[str]:
        """The provider's messages for Pipecat, each with its own context's times and without what we mend ourselves."""
        async for message in websocket:
            result = result_of(message)
            wire_id = result.get("contextId") or result.get("context_id")
            found = next(((c, u) for c, u in self._utterances.items() if u.wire_id == wire_id), None)
            if found is None:
                if wire_id not in self._utterances:  # else it is late: another try took its place
                    self._cumulative_time = self._generation_end_time = 0.0
                    yield message
                continue
            context_id, utterance = found
            if await self._is_mended(context_id, utterance, result):
                continue
            if context_id != wire_id:
                message = json.dumps({"result": {**result, "contextId": context_id}})
            self._cumulative_time, self._generation_end_time = utterance.times
            yield message
            utterance.times = self._cumulative_time, self._generation_end_time

    async def _is_mended(self, context_id: str, utterance: Utterance, result: dict[str, Any]) -> bool:
        """Whether this message showed that a text got no audio, and that was dealt with."""
        status = result.get("status") or {}
        code = status.get("code", 0)
        utterance.is_created = utterance.is_created or "contextCreated" in result
        is_refused = code not in (0, _NOT_FOUND) and not utterance.has_audio
        # Of several texts some may have been accepted: then the context's end shows which were not.
        is_over = "contextClosed" in result or code == _NOT_FOUND or (is_refused and len(utterance.texts) == 1)
        if utterance.is_over or not is_over or not (missing := utterance.missing):
            return is_refused and not utterance.is_over
        why = f"a text was refused: {status['message']}" if status.get("message") else "a text completed without audio"
        await self._mend(context_id, utterance, missing, why)
        return True

    async def _mend(self, context_id: str, utterance: Utterance, missing: list[str], why: str) -> None:
        self.on_fault(time.monotonic() - utterance.asked_at)
        done = remedy(utterance.tries, has_spare=bool(self._spare), has_audio=utterance.has_audio)
        logger.warning(f"{self}: {why}; try {utterance.tries}, next: {done}")
        utterance.tries += 1
        if done == "again":
            await self._send_again(context_id, utterance, missing)
        elif done == "shorter":
            await self._send_again(context_id, utterance, [part for text in missing for part in pieces(text, SHORT)])
        elif done == "move":
            utterance.tries = 1
            await self.push_error(why, force_treat_as_permanent=True)
            self._abort_connection()
        else:
            if not utterance.is_created:  # it does not know the voice, or refuses every context
                await self.push_error(why, force_treat_as_permanent=True)
            await self.append_to_audio_context(context_id, TTSStoppedFrame(context_id=context_id))
            await self.remove_audio_context(context_id)

    async def _send_context(self, context_id: str) -> None:
        await super()._send_context(self._wire_id(context_id))

    async def _send_text(self, context_id: str, text: str) -> None:
        """Send a text in messages that the provider takes."""
        for piece in pieces(self.tagged(text)):
            await super()._send_text(self._wire_id(context_id), piece)

    def _wire_id(self, context_id: str) -> str:
        utterance = self._utterances.get(context_id)
        return context_id if utterance is None else utterance.wire_id

    async def _send_flush(self, context_id: str) -> None:
        if self._is_open and not self.first_line.is_played_in(context_id):
            await super()._send_flush(self._wire_id(context_id))

    async def _send_close_context(self, context_id: str) -> None:
        if self._is_open and not self.first_line.is_played_in(context_id):
            await super()._send_close_context(self._wire_id(context_id))

    async def on_audio_context_interrupted(self, context_id: str) -> None:
        self.first_line.interrupted(context_id)
        await super().on_audio_context_interrupted(context_id)
        self._utterances.pop(context_id, None)

    async def on_audio_context_completed(self, context_id: str) -> None:
        self._utterances.pop(context_id, None)
        await super().on_audio_context_completed(context_id)

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
