"""The end of a call: its last words, the apology after a provider failure, the way out of the room."""

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, Final

from pipecat.frames.frames import EndFrame, InterruptionFrame, TTSSpeakFrame

from agent_runner.agent_config import AgentConfig
from agent_runner.domain.answer import fitting
from agent_runner.domain.job import EndCall
from agent_runner.link.messages import Go
from agent_runner.worker.call.apology import Apology
from agent_runner.worker.call.start import Start, voices
from agent_runner.worker.pipeline.agent_pipeline import AgentPipeline
from chassis.tasks import Tasks, first_of
from contracts.deadlines import LAST_WORDS_S, WORKER_LEAVE_S

_BEGIN_S: Final = 0.7  # of the time for the last words, until the first is heard
_BACK_S: Final = 1.5  # until a client that connects anew is back; 0.3 to 1 s in the same room of one host
_VOICE_S: Final = 1.5  # if the live voice has sent no audio by then, play the stored apology instead
_STILL_JOINING_S: Final = 3.0
_LEAVE_S: Final = WORKER_LEAVE_S / 2  # for a join in flight, then for the room
_RENDER_AFTER_S: Final = 3.0  # after the first audio


class LastWords:
    """Ends one call."""

    def __init__(self, config: AgentConfig, pipeline: AgentPipeline, start: Start, tasks: Tasks) -> None:
        self._config = config
        self._pipeline = pipeline
        self._room = pipeline.transport.client
        self._start = start
        self._tasks = tasks
        self._cancelled = asyncio.Event()
        self._apology: Apology | None = None

    def prepare(self, go: Go) -> None:
        """Locate the apology in this call's voice."""
        self._apology = Apology(self._config, go.voice_id, voices(go), go.language)

    async def render_apology(self) -> None:
        """Have the apology rendered during a call that goes well, for this call and later ones."""
        await asyncio.sleep(_RENDER_AFTER_S)
        if self._apology is not None and not self._start.is_ending:
            await self._apology.render()

    def cancel(self) -> None:
        """Leave at once, whatever is being said."""
        self._cancelled.set()

    def caller_left(self) -> None:
        """Last words to an empty room would wait for the caller; one whose client connects anew hears their rest."""
        if self._start.is_ending:
            self._tasks.spawn(self._cancel_unless_back())

    async def _cancel_unless_back(self) -> None:
        await asyncio.sleep(_BACK_S)
        if not self._room.caller_in_room:
            self.cancel()

    async def end(self, end: EndCall, *, has_voice: bool) -> None:
        """Say the last words, within their time, and leave the room, within WORKER_LEAVE_S.

        Args:
            has_voice: Text to speech has not failed.
        """
        pipeline = self._pipeline
        if end.say or end.with_apology:  # a caller who keeps talking would interrupt the last words
            pipeline.floor.close()
            pipeline.transport.stop_listening()
            self._tasks.spawn(pipeline.stt.close_session())
            said = fitting(end.say or "", end.words_s - _BEGIN_S, pipeline.llm.speed)
            words = self._say(said, end.words_s) if said else self._apologise(has_voice=has_voice)
            await self._limited(words, end.words_s)
        pipeline.ear.call_ended()
        if self._start.joining is not None:  # LiveKit's runtime finishes a cancelled join and would then stay for 20 s
            await asyncio.wait([self._start.joining], timeout=_LEAVE_S)
        leaving = [self._tasks.spawn(self._room.leave()), self._tasks.spawn(pipeline.stt.close_session())]
        await asyncio.wait(leaving, timeout=_LEAVE_S)

    async def _limited(self, words: Coroutine[Any, Any, None], limit_s: float) -> None:
        """Run these for at most `limit_s`; `cancel` ends them at once."""
        speaking = self._tasks.spawn(words)
        await first_of(asyncio.wait([speaking]), self._cancelled.wait(), timeout_s=limit_s)
        speaking.cancel()

    async def _say(self, text: str, limit_s: float = LAST_WORDS_S) -> None:
        """Interrupt the agent, say this, and end the pipeline. A call that is still joining gets time to join."""
        await self._has_joined()
        if self._room.caller_in_room:
            await self._pipeline.queue(InterruptionFrame(), TTSSpeakFrame(text), EndFrame())
            await self._pipeline.wait_closed(limit_s)

    async def _apologise(self, *, has_voice: bool) -> None:
        """Play the stored apology; without one use the live voice, unless the voice is what failed."""
        apology, flow, rate = self._apology, self._pipeline.ear.flow, self._config.tts_sample_rate
        await self._has_joined()
        if apology is None or not self._room.caller_in_room:
            return
        if has_voice and apology.text and not apology.is_rendered:
            sent = flow.sent_bytes
            speaking = self._tasks.spawn(self._say(apology.text))
            await asyncio.wait([speaking], timeout=_VOICE_S)
            # More than 0.25 s of audio: the voice works, and not only audio from before the interruption was sent.
            if flow.sent_bytes - sent > rate // 2:
                await asyncio.wait([speaking])
                return
        if self._room.caller_in_room:
            await self._pipeline.play(*apology.audio())
            await self._room.played_out()

    async def _has_joined(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(_STILL_JOINING_S):
                await self._start.joined.wait()
