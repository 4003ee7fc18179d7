"""The WebSocket to Inworld: opened before the call, tried a few times, moved to the next endpoint."""

# pyright: standard

import asyncio
import time
from functools import partial
from typing import Any, Final

from pipecat.services.inworld.tts import InworldTTSService
from pipecat.transcriptions.language import Language

from agent_runner.endpoints import Endpoint
from agent_runner.worker.providers import tls
from agent_runner.worker.providers.early_connection import EarlyConnection
from agent_runner.worker.providers.failover import Failover
from agent_runner.worker.providers.spoken_language import for_inworld, spoken

_CONNECT_S: Final = 3.0  # websockets' own limit is 10
_FIRST_RETRIES_S: Final = (0.3, 1.0)  # Pipecat itself does not retry a first connection


class InworldConnection(Failover, InworldTTSService):
    """Inworld over a WebSocket; `arm` connects it."""

    _armed = False
    _armed_at = 0.0
    _has_tried: asyncio.Event  # set when `arm` has ended
    _connecting: asyncio.Lock
    _early: EarlyConnection

    def _move_to(self, endpoint: Endpoint) -> None:
        self._api_key, self._url = endpoint.key, endpoint.url

    async def arm(self, voice_id: str, speed: float, language: str | None) -> None:
        """Connect now, with this voice, rate and language; after a few seconds of failed tries become unusable.

        Texts wait for the end of it, so that they are spoken in their order.
        """
        self._settings.voice = voice_id
        self._settings.speaking_rate = speed
        self._settings.language = for_inworld(language)
        self._text_aggregator.set_language(spoken(language) or Language.EN)  # where a sentence ends
        self._armed = True
        self._armed_at = time.monotonic()
        try:
            await self._connect_first()
        finally:
            self._has_tried.set()

    async def _connect_first(self) -> None:
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
