"""AssemblyAI through Pipecat's service, connected when told to: an open session costs money."""

# pyright: standard

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import suppress
from typing import Any, Final

from pipecat.frames.frames import Frame
from pipecat.services.assemblyai.stt import AssemblyAISTTService
from websockets.protocol import State

from agent_runner.agent_config import AgentConfig, Endpoint
from agent_runner.worker import tls
from agent_runner.worker.failover import Failover

_CONNECT_S: Final = 3.0  # websockets' own limit is 10
_BACKOFF_S: Final = (0.5, 2.0)  # Pipecat's own 4 to 10 s between reconnects leave a caller talking to nobody
_MEBIBYTE: Final = 1 << 20


class SpeechToText(Failover, AssemblyAISTTService):
    """AssemblyAI, connected from `arm` on."""

    _armed = False

    @classmethod
    def of(cls, config: AgentConfig) -> SpeechToText:
        """Build it; nothing is connected."""
        first, *spare = config.stt_endpoints
        service = cls(
            api_key=first.key,
            api_endpoint_base_url=first.url,
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
        service._spare = deque(spare)
        return service

    def _move_to(self, endpoint: Endpoint) -> None:
        self._api_key, self._api_endpoint_base_url = endpoint.key, endpoint.url

    async def arm(self, agent_context: str | None) -> None:
        """Connect now. `agent_context` is the last thing the agent said, which helps to understand the answer."""
        self._settings.agent_context = agent_context
        self._armed = True
        began = time.monotonic()
        await self._connect()
        if self._websocket is None:
            self.on_fault(time.monotonic() - began)

    async def begin_anew(self, *, why: str, is_hopeless: bool) -> None:
        """Leave a session that hears nothing for a new one, at the next endpoint if there is one.

        Args:
            is_hopeless: Enough new sessions heard nothing: with no endpoint left the service is written off.
        """
        if is_hopeless or self._spare:
            await self.push_error(why, force_treat_as_permanent=True)
        if self.is_usable:
            self._drop_connection()

    async def say_what_you_have(self) -> None:
        """Ask for the words so far, as is done at each pause of the caller's."""
        if self._websocket is not None and self._websocket.state is State.OPEN:
            with suppress(Exception):  # the receive loop notices too
                await self._websocket.send(json.dumps({"type": "ForceEndpoint"}))

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
        return await super()._websocket_connect(uri, **{"open_timeout": _CONNECT_S, **tls.options(uri), **options})

    async def run_stt(self, audio: bytes) -> AsyncGenerator[Frame | None, None]:
        """Pass audio on; while there is no connection keep the last seconds of it, not all."""
        overflow = len(self._audio_buffer) - _MEBIBYTE  # half a minute at 16 kHz
        if overflow > 0:
            del self._audio_buffer[:overflow]
        async for frame in super().run_stt(audio):
            yield frame
