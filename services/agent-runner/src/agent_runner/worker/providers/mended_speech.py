"""Texts without audio are sent again: over a new connection, in shorter pieces, to the second endpoint."""

# pyright: standard

import json
import time
import uuid
from collections.abc import AsyncIterator
from typing import Any, Final

from loguru import logger
from pipecat.frames.frames import TTSStoppedFrame

from agent_runner.domain.utterance import SHORT, pieces, remedy
from agent_runner.worker.providers.first_line import FirstLine
from agent_runner.worker.providers.spoken_text import SpokenText
from agent_runner.worker.providers.tts_connection import InworldConnection
from agent_runner.worker.providers.utterance import Connection, Utterance, result_of

_SILENCES: Final = 2  # of one sentence, until the service fails over or becomes unusable
_NOT_FOUND: Final = 5  # Inworld's code for a context or a voice that it does not know


class MendedSpeech(SpokenText, InworldConnection):
    """Inworld's service, which asks again for what it did not get (docs/decisions/0038).

    A context is Pipecat's and Inworld's word for one utterance. Contexts without audio are sent again over each new
    connection. A text that is refused or completes without audio is asked for again, then in shorter pieces, then at
    the second endpoint. A cached first line needs no provider.
    """

    first_line: FirstLine
    _silence_s = 0.0
    _utterances: dict[str, Utterance]

    @property
    def _has_to_answer(self) -> bool:
        return any(utterance.is_unheard for utterance in self._utterances.values())

    def _is_unheard(self, context_id: str) -> bool:
        return (utterance := self._utterances.get(context_id)) is not None and utterance.is_unheard

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
        """Ask again if this message shows that a text got no audio; True: Pipecat must not see the message."""
        status = result.get("status") or {}
        code = status.get("code", 0)
        utterance.is_created = utterance.is_created or "contextCreated" in result
        is_refused = code not in (0, _NOT_FOUND) and not utterance.has_audio
        # The provider may have accepted some of several texts: the context's end shows which it refused.
        has_ended = "contextClosed" in result or code == _NOT_FOUND or (is_refused and len(utterance.texts) == 1)
        if utterance.has_ended or not has_ended or not (missing := utterance.missing):
            return is_refused and not utterance.has_ended
        why = f"a text was refused: {status['message']}" if status.get("message") else "a text completed without audio"
        await self._mend(context_id, utterance, missing, why)
        return True

    async def _mend(self, context_id: str, utterance: Utterance, missing: list[str], why: str) -> None:
        self.on_fault(time.monotonic() - utterance.asked_at)
        done = remedy(utterance.tries, has_spare=bool(self._spare), has_audio=utterance.has_audio)
        what = why.partition(":")[0]  # the rest is the provider's, and may quote the text
        logger.warning(f"{self}: {what}; try {utterance.tries}, next: {done}")
        logger.debug(f"{self}: {why}")
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
