"""The three providers' Pipecat services, changed in two ways: they connect when told to, and they cannot hang.

Pipecat's services connect while the pipeline is set up, which happens long before an idle worker gets a job, and an
open AssemblyAI session costs money. And Groq's client waits 600 s for a silent server.
"""

# pyright: standard

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import suppress
from typing import Any, Final

from loguru import logger
from openai import APIStatusError, Timeout
from pipecat.frames.frames import Frame
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.services.assemblyai.stt import AssemblyAISTTService
from pipecat.services.groq.llm import GroqLLMService
from pipecat.services.inworld.tts import InworldTTSService
from websockets.protocol import State

from agent_runner.agent_config import AgentConfig

_CONNECT_S: Final = 4.0  # websockets' own limit is 10
_LLM_RETRIES: Final = 1  # by the SDK, after 0.5 s, for 408, 409, 429, 5xx and a lost connection
_BACKOFF_S: Final = (0.5, 2.0)  # Pipecat's own 4 to 10 s between reconnects leave a caller talking to nobody
_VOICE_RETRIES_S: Final = (0.3, 1.0)  # Pipecat itself does not retry a first connection
_MODEL_GONE: Final = frozenset({"model_not_found", "model_decommissioned"})
_MEBIBYTE: Final = 1 << 20


class SpeechToText(AssemblyAISTTService):
    """AssemblyAI, connected from `arm` on."""

    _armed = False

    @classmethod
    def of(cls, config: AgentConfig) -> SpeechToText:
        """Build it; nothing is connected."""
        return cls(
            api_key=config.assembly_api_key.get_secret_value(),
            api_endpoint_base_url=config.assembly_base_url,
            sample_rate=config.stt_sample_rate,
            encoding=config.stt_encoding,
            settings=cls.Settings(
                model=config.stt_model,
                vad_threshold=config.stt_vad_threshold,
                end_of_turn_confidence_threshold=config.stt_end_of_turn_confidence_threshold,
                min_turn_silence=config.stt_min_turn_silence,
                max_turn_silence=config.stt_max_turn_silence,
                format_turns=config.stt_format_turns,
                formatted_finals=config.stt_formatted_finals,
                word_finalization_max_wait_time=config.stt_word_finalization_max_wait_time,
                keyterms_prompt=list(config.stt_keyterms_prompt) or None,
                language_detection=config.stt_language_detection,
            ),
            reconnect_backoff_min_wait=_BACKOFF_S[0],
            reconnect_backoff_max_wait=_BACKOFF_S[1],
        )

    async def arm(self, agent_context: str | None) -> None:
        """Connect now. `agent_context` is the last thing the agent said, which helps to understand the answer."""
        self._settings.agent_context = agent_context
        self._armed = True
        await self._connect()

    async def _disconnect(self) -> None:
        """Pipecat's waits 5 s for the goodbye, and all frames behind the end of the call wait with it."""
        await self.hang_up()

    async def hang_up(self) -> None:
        """End the session at the provider, whose clock runs until it hears so, without waiting for its goodbye."""
        self._armed = False
        self._disconnecting = True  # no reconnect from here on
        if self._receive_task is not None:
            self._receive_task.cancel()
        if self._websocket is not None and self._websocket.state is State.OPEN:
            with suppress(Exception):
                await self._websocket.send(json.dumps({"type": "Terminate"}))

    async def _connect(self) -> None:
        if self._armed:
            await super()._connect()

    async def _websocket_connect(self, uri: str, **options: Any) -> Any:
        return await super()._websocket_connect(uri, **{"open_timeout": _CONNECT_S, **options})

    async def run_stt(self, audio: bytes) -> AsyncGenerator[Frame | None, None]:
        """Pass audio on; while there is no connection keep the last seconds of it, not all."""
        overflow = len(self._audio_buffer) - _MEBIBYTE  # half a minute at 16 kHz
        if overflow > 0:
            del self._audio_buffer[:overflow]
        async for frame in super().run_stt(audio):
            yield frame


class LanguageModel(GroqLLMService):
    """Groq, with bounds on every wait, and with another model when the configured one no longer exists."""

    @classmethod
    def of(cls, config: AgentConfig) -> LanguageModel:
        """Build it; nothing is connected."""
        service = cls(
            api_key=config.groq_api_key.get_secret_value(),
            base_url=config.groq_base_url,
            settings=cls.Settings(
                model=config.llm_model,
                max_tokens=config.llm_max_tokens,
                temperature=config.llm_temperature,
                top_p=config.llm_top_p,
                presence_penalty=config.llm_presence_penalty,
                frequency_penalty=config.llm_frequency_penalty,
                reasoning_effort=config.reasoning_effort_of(config.llm_model),
            ),
        )
        service._config = config
        service._client = service._client.with_options(
            timeout=Timeout(config.llm_read_timeout_s, connect=_CONNECT_S), max_retries=_LLM_RETRIES
        )
        return service

    _config: AgentConfig

    async def use_prompt(self, system_instruction: str) -> None:
        """Take the job's system prompt, by the way on which Pipecat keeps it when it composes its own."""
        await self._update_settings(self.Settings(system_instruction=system_instruction))

    async def _process_context(self, context: LLMContext) -> None:
        async with asyncio.timeout(self._config.llm_total_timeout_s):
            try:
                await super()._process_context(context)
            except APIStatusError as error:
                fallback = self._config.llm_fallback_model
                if error.code not in _MODEL_GONE or self._settings.model == fallback:
                    raise
                logger.error(f"LLM_MODEL {self._settings.model} does not exist at Groq; going on with {fallback}")
                self._settings.model = fallback
                self._settings.reasoning_effort = self._config.reasoning_effort_of(fallback)
                await super()._process_context(context)


class TextToSpeech(InworldTTSService):
    """Inworld over a WebSocket, connected from `arm` on."""

    _armed = False

    @classmethod
    def of(cls, config: AgentConfig) -> TextToSpeech:
        """Build it; nothing is connected."""
        return cls(
            api_key=config.inworld_api_key.get_secret_value(),
            url=config.inworld_base_url,
            sample_rate=config.tts_sample_rate,
            settings=cls.Settings(model=config.tts_model, temperature=config.tts_temperature),
            reconnect_backoff_min_wait=_BACKOFF_S[0],
            reconnect_backoff_max_wait=_BACKOFF_S[1],
        )

    async def arm(self, voice_id: str, speed: float) -> None:
        """Connect now, for this voice at this speaking rate; unusable when that does not work in a few seconds."""
        self._settings.voice = voice_id
        self._settings.speaking_rate = speed
        self._armed = True
        for pause_s in (*_VOICE_RETRIES_S, None):
            await self._connect()
            if self._websocket is not None or not self.is_usable:
                return
            if pause_s is not None:
                await asyncio.sleep(pause_s)
        await self.push_error(f"no connection after {1 + len(_VOICE_RETRIES_S)} tries", force_treat_as_permanent=True)

    async def _connect(self) -> None:
        if self._armed:
            await super()._connect()

    async def _websocket_connect(self, uri: str, **options: Any) -> Any:
        return await super()._websocket_connect(uri, **{"open_timeout": _CONNECT_S, **options})
