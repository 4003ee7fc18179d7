"""One job, from the warm pipeline to the last words."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from contracts.causes import Cause
from contracts.deadlines import LAST_WORDS_S, LIVEKIT_JOIN_S, REJOIN_ANSWER_S
from pipecat.frames.frames import EndFrame, Frame, InterruptionFrame, TTSSpeakFrame
from pipecat.utils.tracing.turn_trace_observer import TurnTraceObserver

from agent_runner.agent_config import AgentConfig
from agent_runner.domain.link import (
    Beat,
    Caller,
    End,
    Ending,
    Failed,
    Faulty,
    Go,
    Heard,
    Joined,
    Prejoin,
    Provider,
    Recovered,
    Removed,
    Speak,
    Stopped,
    ToSupervisor,
    Turn,
    Unfinished,
)
from agent_runner.domain.muteness import MUTE_S, Muteness
from agent_runner.domain.notice import Notice
from agent_runner.domain.prompt import system_instruction
from agent_runner.worker.call.apology import Apology
from agent_runner.worker.pipeline.agent_pipeline import AgentPipeline, PipelineListener
from agent_runner.worker.providers.kept_speech import KeptSpeech
from agent_runner.worker.providers.tools import Toolbox
from agent_runner.worker.room.transport import JoinFailed, RoomListener
from chassis import logs

_VOICE_S: Final = 1.5  # if the live voice has sent no audio by then, play the stored apology instead
_STILL_JOINING_S: Final = 3.0
_LEAVE_S: Final = 1.0
_FAILURES: Final = 3  # answers in a row
_LOOK_S: Final = 0.25
_RENDER_AFTER_S: Final = 3.0  # after the first audio
_SORRY: Final = "Sorry, I didn't get that. Could you say it again?"
_ROOM_GONE: Final = frozenset({"ROOM_DELETED", "ROOM_CLOSED"})

log = logs.get_logger(__name__)


class Job:
    """A warm pipeline that runs one job, reports on it, and ends once."""

    def __init__(self, config: AgentConfig, tell: Callable[[ToSupervisor], None], *, is_traced: bool = False) -> None:
        """Build the pipeline.

        Args:
            tell: Called with each message, on the event loop; must not block.
        """
        self.stopped: asyncio.Future[Stopped] = asyncio.get_running_loop().create_future()
        self._config = config
        self._tell = tell
        self._pipeline = AgentPipeline(
            config, PipelineListener(self._on_turn, self._on_error, self._on_over), is_traced=is_traced
        )
        self._pipeline.ear.on_success = self._on_success
        self._pipeline.on_fault = self._on_fault
        self._pipeline.on_recovery = self._on_recovery
        self._room = self._pipeline.transport.client
        self._room.listener = RoomListener(self._on_caller, self._on_heard, self._on_removed)
        self._log = log
        self._go: Go | None = None
        self._went = 0.0
        self._stage_ms: dict[str, int] = {}
        self._joined = asyncio.Event()
        self._joining: asyncio.Task[None] | None = None
        self._joining_ahead: asyncio.Task[None] | None = None
        self._is_ending = False
        self._hurry = asyncio.Event()  # no last words
        self._faulty: set[Provider] = set()
        self._failed: set[Provider] = set()
        self._failures: Counter[Provider] = Counter()
        self._muteness = Muteness(2 * config.tts_sample_rate)
        self._apology: Apology | None = None
        self._so_far: Turn | None = None
        self._leaving: asyncio.TimerHandle | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._notices: list[Notice] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def prepare(self) -> None:
        """Start the pipeline, without a room or a provider."""
        await self._pipeline.start()
        if self._config.tts_connect_idle:
            self._connecting = self._spawn(self._pipeline.tts.keep_connected())

    @property
    def trace_observer(self) -> TurnTraceObserver | None:
        """Pipecat's source of spans; None if the pipeline is not traced."""
        return self._pipeline.worker.turn_trace_observer

    def beat(self) -> Beat:
        ear = self._pipeline.ear
        return Beat(tts_bytes=ear.made_bytes, sent_bytes=ear.sent_bytes, caller_in_room=self._room.caller_in_room)

    def prejoin(self, room: Prejoin) -> None:
        """Join this room before its job: the worker stays idle, hears nothing and opens no provider."""
        if self._go is None and self._joining_ahead is None and not self._is_ending:
            self._log = log.bind(session_id=room.session_id)
            self._went = time.monotonic()
            self._joining = self._joining_ahead = self._spawn(self._join(room))

    def go(self, go: Go, history: list[dict[str, str]]) -> None:
        """Take the job; ignore a second one."""
        if self._go is None and not self._is_ending:
            self._go = go
            if self._connecting is not None:
                self._connecting.cancel()
            self._log = log.bind(session_id=go.session_id, epoch=go.epoch)
            self._went = time.monotonic()
            self._stage_ms.clear()
            self._apology = Apology(self._config, go.voice_id, _voices(go))
            self._spawn(self._start(go, history))
            self._spawn(self._watch())

    def speak(self, speak: Speak) -> None:
        """Say this at the next pause; `_watch` looks for one."""
        if not self._is_ending:
            self._notices.append(Notice(speak.text, time.monotonic(), speak.patience_s))
            self._say_what_is_due(time.monotonic())

    def end(self, end: End) -> None:
        """End the call: at once when there is nothing to say or the call is ending already."""
        if end.how == "cancel" or self._is_ending:
            self._hurry.set()
        self._finish(Cause.ENDED, say=end.text if end.how == "say" else None)

    def rejoin(self) -> None:
        """Join the room again from which LiveKit removed the agent."""
        if self._leaving is not None and self._go is not None and not self._is_ending:
            self._leaving.cancel()
            self._leaving = None
            self._joining = self._spawn(self._join(self._go, again=True))

    def abandon(self) -> None:
        """The supervisor is gone: end at once."""
        self._hurry.set()
        self._finish(Cause.ENDED, detail="the supervisor is gone")

    async def _start(self, go: Go, history: list[dict[str, str]]) -> None:
        pipeline = self._pipeline
        messages: list[Any] = [*history]
        if go.opening_line:
            messages.append({"role": "assistant", "content": go.opening_line})
            pipeline.ear.talk.open_with(go.opening_line)
        pipeline.context.set_messages(messages)
        if go.tools:
            toolbox = Toolbox(go.tools, self._config.tool_allowed_hosts, go.session_id)
            pipeline.context.set_tools(toolbox.offer(pipeline.llm))
        await pipeline.llm.use_prompt(system_instruction(go.system_prompt))
        said = next((m["content"] for m in reversed(messages) if m["role"] == "assistant"), None)
        self._joining = asyncio.create_task(self._join(go) if self._joining_ahead is None else self._begin_here())
        await asyncio.gather(self._joining, pipeline.stt.arm(go.bridge or said), self._open(go))

    async def _open(self, go: Go) -> None:
        """Connect the voice and synthesise the first line; its audio waits until the caller can hear it."""
        tts, folder, line = self._pipeline.tts, _voices(go), None
        if go.opening_line:  # the context has it already, whole even if the caller interrupts it
            line = TTSSpeakFrame(go.opening_line, append_to_context=False)
        elif go.bridge:
            line = TTSSpeakFrame(go.bridge)
        if line and folder and tts.begin_with(KeptSpeech(self._config, go.voice_id, line.text, folder)):
            self._queue(line)
            line = None
        await tts.arm(go.voice_id, self._config.speed_of(go.voice_id))
        self._mark("tts_connected")
        if line:
            self._queue(line)

    async def _begin_here(self) -> None:
        """Begin in the prejoined room. If that join failed, it has ended the job."""
        if self._joining_ahead is not None and not self._joined.is_set():
            await asyncio.wait([self._joining_ahead])
        if self._joined.is_set() and not self._is_ending:
            await self._room.listen()
            self._mark("join")
            self._tell(Joined(stage_ms=dict(self._stage_ms)))
            self._tell(self.beat())  # the caller may be here already

    async def _join(self, room: Go | Prejoin, *, again: bool = False) -> None:
        try:
            async with asyncio.timeout(LIVEKIT_JOIN_S):
                if again:
                    await self._room.rejoin(room.url, room.token)
                else:
                    is_deaf = isinstance(room, Prejoin)
                    await self._room.join(room.url, room.token, room.caller_identity, is_deaf=is_deaf)
        except (JoinFailed, TimeoutError) as error:
            detail = str(error) or f"no answer from LiveKit in {LIVEKIT_JOIN_S:g} s"
            self._finish(Cause.REMOVED if again else Cause.JOIN_FAILED, detail=detail)
            return
        self._mark("join")
        self._joined.set()
        self._tell(Joined(stage_ms=dict(self._stage_ms)))

    async def _watch(self) -> None:
        """Look for notices, idle callers, deafness and muteness every `_LOOK_S`."""
        while not self._is_ending:
            await asyncio.sleep(_LOOK_S)
            now, ear = time.monotonic(), self._pipeline.ear
            self._tell_so_far(ear.talk.so_far())
            self._say_what_is_due(now)
            in_room = self._room.caller_in_room
            if not in_room:
                ear.quiet.away(now)
            match ear.quiet.due(now):
                case "prompt":
                    self._queue(TTSSpeakFrame(self._config.user_idle_prompt))
                case "end":
                    self._finish(Cause.USER_IDLE, say=self._config.user_idle_goodbye)
                case None:
                    pass
            if ear.hearing.is_deaf(now):
                self._spawn(self._hear_again())
            if self._muteness.is_mute(now, made=ear.made_bytes, sent=ear.sent_bytes, caller_in_room=in_room):
                self._finish(Cause.FAILED, detail=f"mute: there was speech, and none of it went out for {MUTE_S:g} s")

    def _say_what_is_due(self, now: float) -> None:
        for notice in [n for n in self._notices if n.is_due(now, self._pipeline.ear.quiet)]:
            self._notices.remove(notice)
            self._queue(TTSSpeakFrame(notice.text))

    def _tell_so_far(self, turn: Turn | None) -> None:
        """Report the unfinished turn, which would be lost with this process."""
        if turn != self._so_far:
            self._so_far = turn
            if turn is not None:
                self._tell(Unfinished(turn=turn))

    async def _hear_again(self) -> None:
        hearing = self._pipeline.ear.hearing
        self._log.warning("job.deaf", times=hearing.silences)
        self._on_fault("stt", time.monotonic() - hearing.unheard_since)
        why = "no words came for what the caller said"
        await self._pipeline.stt.begin_anew(why=why, is_hopeless=hearing.is_hopeless)
        if not self._is_ending:
            self._queue(TTSSpeakFrame(_SORRY))

    def _finish(self, cause: Cause, *, detail: str = "", say: str | None = None) -> None:
        """End the call; the first cause stands."""
        if not self._is_ending:
            self._is_ending = True
            self._log.info("job.ending", cause=cause, detail=detail)
            self._tell(Ending())
            self._spawn(self._wind_up(cause, detail, say))

    async def _wind_up(self, cause: Cause, detail: str, say: str | None) -> None:
        pipeline = self._pipeline
        if say or cause is Cause.PROVIDER_FAILED:  # a caller who keeps talking would interrupt the last words
            pipeline.transport.stop_listening()
            self._spawn(pipeline.stt.hang_up())
        if say:
            await self._briefly(self._say_last(say))
        elif cause is Cause.PROVIDER_FAILED:
            await self._briefly(self._apologise())
        pipeline.ear.cut()
        if (
            self._joining is not None
        ):  # LiveKit's runtime finishes a cancelled join and would then stay in the room for 20 s
            await asyncio.wait([self._joining], timeout=_LEAVE_S)
        with suppress(TimeoutError):
            async with asyncio.timeout(_LEAVE_S):
                await asyncio.gather(self._room.leave(), pipeline.stt.hang_up(), return_exceptions=True)
        if not self.stopped.done():
            self.stopped.set_result(Stopped(cause=cause, detail=detail))

    async def _say_last(self, text: str) -> None:
        """Interrupt the agent, say this, and end the pipeline. A job that is still joining gets time to join."""
        await self._has_joined()
        if self._room.caller_in_room:
            self._queue(InterruptionFrame(), TTSSpeakFrame(text), EndFrame())
            await self._pipeline.finished(LAST_WORDS_S)

    async def _has_joined(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(_STILL_JOINING_S):
                await self._joined.wait()

    async def _apologise(self) -> None:
        """Play the stored apology; without one use the live voice, unless the voice is what failed."""
        pipeline, apology = self._pipeline, self._apology
        await self._has_joined()
        if apology is None or not self._room.caller_in_room:
            return
        sent = pipeline.ear.sent_bytes
        if "tts" not in self._failed and not apology.is_rendered and self._config.apology:
            speaking = self._spawn(self._say_last(self._config.apology))
            await asyncio.wait([speaking], timeout=_VOICE_S)
            # More than 0.25 s of audio: the voice works, and not only audio from before the interruption was sent.
            if pipeline.ear.sent_bytes - sent > self._config.tts_sample_rate // 2:
                await asyncio.wait([speaking])
                return
        if self._room.caller_in_room:
            await pipeline.play(apology.audio())
            await self._room.played_out()

    async def _render_apology(self) -> None:
        await asyncio.sleep(_RENDER_AFTER_S)
        if self._apology is not None and not self._is_ending:
            await self._apology.render()

    async def _briefly(self, work: Coroutine[Any, Any, None]) -> None:
        """Run last words for at most LAST_WORDS_S; `_hurry` cancels them at once."""
        tasks = [self._spawn(work), asyncio.create_task(self._hurry.wait())]
        await asyncio.wait(tasks, timeout=LAST_WORDS_S, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()

    def _on_turn(self, turn: Turn) -> None:
        self._tell(turn)

    def _on_caller(self, in_room: bool) -> None:
        self._tell(Caller(in_room=in_room))

    def _on_heard(self) -> None:
        self._mark("heard")
        self._tell(Heard(stage_ms=dict(self._stage_ms)))
        self._spawn(self._pipeline.llm.connect_early())
        self._spawn(self._render_apology())

    def _on_removed(self, reason: str) -> None:
        if self._is_ending:
            return
        if reason in _ROOM_GONE:
            self._finish(Cause.ROOM_CLOSED, detail=reason)
            return
        self._tell(Removed(duplicate=reason == "DUPLICATE_IDENTITY", reason=reason))
        self._leaving = asyncio.get_running_loop().call_later(
            REJOIN_ANSWER_S, lambda: self._finish(Cause.REMOVED, detail=reason)
        )

    def _on_over(self) -> None:
        self._finish(Cause.FAILED, detail="the pipeline ended by itself")

    def _on_success(self, provider: Provider) -> None:
        self._failures[provider] = 0
        self._on_recovery(provider)

    def _on_fault(self, provider: Provider, ago_s: float = 0.0) -> None:
        """A provider keeps the agent deaf or mute since `ago_s`; that time is not billed."""
        if self._go is not None:
            self._faulty.add(provider)
            self._tell(Faulty(provider=provider, ago_ms=round(1000 * ago_s)))

    def _on_recovery(self, provider: Provider) -> None:
        if provider in self._faulty and provider not in self._failed:
            self._faulty.discard(provider)
            self._tell(Recovered(provider=provider))

    def _on_error(self, provider: Provider | None, text: str, unusable: bool) -> None:
        """Apologise for an error that the service survives; end the call when a provider is unusable."""
        if self._is_ending or self._go is None:
            return
        self._log.warning("pipeline.error", provider=provider, error=text[:500], unusable=unusable)
        if provider == "llm":
            self._failures[provider] += 1
            unusable = unusable or self._failures[provider] >= _FAILURES
        if not unusable:
            if provider == "llm":
                self._queue(TTSSpeakFrame(_SORRY))
        elif provider is None:
            self._finish(Cause.FAILED, detail=text[:500])
        elif provider not in self._failed:
            self._failed.add(provider)
            self._on_fault(provider)
            self._tell(Failed(provider=provider, detail=text[:500]))
            self._finish(Cause.PROVIDER_FAILED, detail=provider)

    def _mark(self, stage: str) -> None:
        self._stage_ms.setdefault(stage, round((time.monotonic() - self._went) * 1000))

    def _queue(self, *frames: Frame) -> None:
        self._spawn(self._pipeline.worker.queue_frames(list(frames)))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._log.error("job.bug", exc_info=error)
            self._finish(Cause.FAILED, detail=f"{type(error).__name__}: {error}"[:500])


def _voices(go: Go) -> Path | None:
    """The node's folder of cached speech."""
    return Path(go.log_file).parent / "voices" if go.log_file else None
