"""The start of a call: into the room, and to the agent's first words."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pipecat.frames.frames import LLMRunFrame, TTSSpeakFrame

from agent_runner.agent_config import AgentConfig
from agent_runner.domain.delivery import has_words, without_tags
from agent_runner.domain.job import Assigned, EndCall
from agent_runner.domain.prompt import system_instruction
from agent_runner.domain.speakable import speakable
from agent_runner.link.messages import Go, Joined, Prejoin, ToolCall, ToSupervisor, Unfinished
from agent_runner.worker.pipeline.agent_pipeline import AgentPipeline
from agent_runner.worker.providers.first_line import FirstLine
from agent_runner.worker.providers.kept_speech import KeptSpeech
from agent_runner.worker.providers.tools import Toolbox
from agent_runner.worker.room.transport import JoinFailed
from chassis.tasks import Tasks
from contracts.causes import Cause
from contracts.deadlines import LIVEKIT_JOIN_S


class _Stages:
    """When each stage of the start ended, in ms since the job came."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._ended_ms: dict[str, int] = {}

    def mark(self, stage: str) -> dict[str, int]:
        """Note that a stage has ended; return the stages so far."""
        self._ended_ms.setdefault(stage, round((time.monotonic() - self._began) * 1000))
        return dict(self._ended_ms)


class Start:
    """Joins the room, opens the providers and has the first line spoken, all at the same time.

    Attributes:
        joined: Set once the agent has been in its room.
        joining: The newest attempt to join, in flight or done.
        is_ending: The call is ending; set by its owner.
        toolbox: The session's tools; None before the job, and without tools.
    """

    def __init__(
        self,
        config: AgentConfig,
        pipeline: AgentPipeline,
        tell: Callable[[ToSupervisor], None],
        on_failed: Callable[[EndCall], None],
        tasks: Tasks,
    ) -> None:
        self.joined = asyncio.Event()
        self.joining: asyncio.Task[None] | None = None
        self.is_ending = False
        self._config = config
        self._pipeline = pipeline
        self._tell = tell
        self._on_failed = on_failed
        self._tasks = tasks
        self._go: Go | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._stages = _Stages()
        self.toolbox: Toolbox | None = None

    def connect_idle(self) -> None:
        """Hold a connection to the voice open before the job."""
        self._connecting = self._tasks.spawn(self._pipeline.tts.keep_connected())

    def prejoin(self, room: Prejoin) -> None:
        """Join this room before its job: the worker stays idle, hears nothing and opens no provider."""
        self._stages = _Stages()
        self.joining = self._tasks.spawn(self._join(room))

    def take(self, job: Assigned) -> None:
        if self._connecting is not None:
            self._connecting.cancel()
        self._go = job.go
        self._stages = _Stages()
        self._tasks.spawn(self._start(job.go, [*job.history], prejoining=self.joining))

    def rejoin(self) -> None:
        """Join the room again from which LiveKit removed the agent."""
        if self._go is not None:
            self.joining = self._tasks.spawn(self._join(self._go, again=True))

    def mark(self, stage: str) -> dict[str, int]:
        """Note that a stage has ended; return the stages so far, in ms since the job came."""
        return self._stages.mark(stage)

    async def _start(self, go: Go, messages: list[Any], *, prejoining: asyncio.Task[None] | None) -> None:
        pipeline = self._pipeline
        opening = without_tags(speakable(go.opening_line or ""))
        pipeline.context.set_messages(messages)
        if has_words(opening):
            pipeline.greet_with(opening)
        pipeline.floor.use(self._config.floor_rules(go.language or "en"))
        may_interrupt = self._config.first_line_interruptible if go.interruptible is None else go.interruptible
        if not may_interrupt and (line := opening if has_words(opening) else go.bridge):
            pipeline.floor.protect(line)
        if go.is_asked:
            pipeline.ear.talk.owe()
        if go.tools or go.end_call:
            self.toolbox = Toolbox(go, self._config, pipeline.ear.talk, self._tell_tool, self._end_by_tool)
            pipeline.floor.end_call = self.toolbox.end_call
            pipeline.context.set_tools(self.toolbox.offer(pipeline.llm))
        pipeline.llm.speed = self._config.speed_of(go.voice_id)
        await pipeline.llm.use_prompt(system_instruction(go.system_prompt, go.language))
        said = opening or next((m["content"] for m in reversed(messages) if m["role"] == "assistant"), None)
        self.joining = asyncio.create_task(self._begin_here(prejoining) if prejoining else self._join(go))
        await asyncio.gather(self.joining, pipeline.stt.arm(go.bridge or said, go.language), self._speak_first(go))
        pipeline.shown.began()

    def _end_by_tool(self, words: str | None) -> None:
        """The agent ends the call; `words` as in `Toolbox`."""
        self._pipeline.ear.ends.lines_answer = True
        goodbye = self._config.lines_in(self._go.language if self._go else None).goodbye
        self._on_failed(EndCall(Cause.AGENT_ENDED, say=words if words is None or has_words(words) else goodbye))

    def _tell_tool(self, call: ToolCall) -> None:
        """Report a tool's call; its question first, so that a successor knows both if this process dies next."""
        if not call.outcome and (question := self._pipeline.ear.talk.so_far()) is not None:
            self._tell(Unfinished(turn=question))
        self._tell(call)

    async def _speak_first(self, go: Go) -> None:
        """Synthesise the first line while the voice connects; its audio waits until the caller can hear it.

        What comes first is queued first, so that an answer to a caller who speaks at once cannot overtake it.
        """
        tts, folder, line = self._pipeline.tts, voices(go), None
        if has_words(opening := speakable(go.opening_line or "")):  # the context has it already
            line = TTSSpeakFrame(opening, append_to_context=False)
        elif go.bridge:
            line = TTSSpeakFrame(go.bridge)
        if line and folder:
            tts.first_line = FirstLine(KeptSpeech(self._config, go.voice_id, line.text, folder, go.language))
        if line:
            await self._pipeline.queue(line)
        if go.is_asked:
            await self._pipeline.queue(LLMRunFrame())
        await tts.arm(go.voice_id, self._config.speed_of(go.voice_id), go.language)
        self.mark("tts_connected")

    async def _begin_here(self, prejoining: asyncio.Task[None]) -> None:
        """Begin in the prejoined room. If that join failed, it has ended the call."""
        if not self.joined.is_set():
            await asyncio.wait([prejoining])
        if self.joined.is_set() and not self.is_ending:
            await self._pipeline.transport.client.listen()
            self._tell(Joined(stage_ms=self.mark("join")))
            self._tell(self._pipeline.beat())  # the caller may be here already

    async def _join(self, room: Go | Prejoin, *, again: bool = False) -> None:
        client = self._pipeline.transport.client
        try:
            async with asyncio.timeout(LIVEKIT_JOIN_S):
                if again:
                    await client.rejoin(room.url, room.token)
                else:
                    listens = not isinstance(room, Prejoin)
                    await client.join(room.url, room.token, room.caller_identity, listens=listens)
        except (JoinFailed, TimeoutError) as error:
            detail = str(error) or f"no answer from LiveKit in {LIVEKIT_JOIN_S:g} s"
            self._on_failed(EndCall(Cause.REMOVED if again else Cause.JOIN_FAILED, detail))
            return
        stage_ms = self.mark("join")
        self.joined.set()
        self._tell(Joined(stage_ms=stage_ms))


def voices(go: Go) -> Path | None:
    """The node's folder of cached speech."""
    return Path(go.log_file).parent / "voices" if go.log_file else None
