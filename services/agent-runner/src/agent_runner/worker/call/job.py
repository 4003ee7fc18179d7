"""One job in its worker: tells `domain.job` each event, and performs the effects."""

import asyncio
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from pipecat.frames.frames import LLMRunFrame, TTSSpeakFrame
from pipecat.utils.tracing.turn_trace_observer import TurnTraceObserver

from agent_runner.agent_config import AgentConfig
from agent_runner.domain.hearing import Deaf
from agent_runner.domain.intake import STALL_S
from agent_runner.domain.job import (
    Assigned,
    AwaitRejoin,
    CancelLastWords,
    Command,
    EndCall,
    JobEffect,
    JobState,
    JobStep,
    Say,
)
from agent_runner.domain.notice import Notice
from agent_runner.domain.tool_calls import Patience
from agent_runner.domain.watch import AskAgain, Watch
from agent_runner.link.messages import (
    Beat,
    Caller,
    Go,
    Heard,
    Prejoin,
    Provider,
    Rejoin,
    Speak,
    Stopped,
    ToSupervisor,
    ToWorker,
    Unfinished,
)
from agent_runner.worker.call.last_words import LastWords
from agent_runner.worker.call.reach import keep_in_reach
from agent_runner.worker.call.start import Start
from agent_runner.worker.pipeline.agent_pipeline import AgentPipeline, PipelineListener
from agent_runner.worker.pipeline.turn_start import AskAgainFrame
from agent_runner.worker.room.transport import RoomListener
from chassis import logs
from chassis.tasks import Tasks
from contracts.causes import Cause
from contracts.deadlines import REJOIN_ANSWER_S

_LOOK_S: Final = 0.25
_MOST_TEXT: Final = 500  # characters of an error

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
        self._state = JobState()
        self._log = log
        self._tasks = Tasks(self._on_bug)
        self._pipeline = pipeline = AgentPipeline(
            config,
            PipelineListener(
                turn=lambda turn: tell(self._watch.told(turn)),
                worked=lambda provider: self._take(self._state.worked(provider)),
                fault=lambda provider, ago_s: self._take(self._state.faulted(provider, ago_s)),
                recovered=lambda provider: self._take(self._state.reconnected(provider)),
                lost=lambda after_s: self._take(self._state.lost(round(1000 * after_s))),
                error=self._on_error,
                ended=lambda error: self._end_call(EndCall(Cause.FAILED, _how_it_ended(error))),
                typed=self._on_typed,
            ),
            is_traced=is_traced,
        )

        def caller(in_room: bool) -> None:
            tell(Caller(in_room=in_room))
            if not in_room:
                self._last_words.caller_left()

        pipeline.transport.client.listener = RoomListener(
            caller=caller,
            heard=self._on_heard,
            removed=lambda reason: self._take(self._state.removed(reason)),
        )
        ear = pipeline.ear
        self._start = Start(config, pipeline, tell, self._end_call, self._tasks)
        self._watch = Watch(
            ear.hearing,
            ear.quiet,
            ear.flow,
            bytes_per_s=2 * config.tts_sample_rate,
        )
        self._patience = Patience(config.tool_filler_s)
        self._last_words = LastWords(config, pipeline, self._start, self._tasks)
        self._rejoin_timer: asyncio.TimerHandle | None = None

    async def prepare(self) -> None:
        """Start the pipeline, without a room or a provider."""
        await self._pipeline.start()
        if self._config.tts_connect_idle:
            self._start.connect_idle()

    @property
    def trace_observer(self) -> TurnTraceObserver | None:
        """Pipecat's source of spans; None if the pipeline is not traced."""
        return self._pipeline.worker.turn_trace_observer

    def beat(self) -> Beat:
        return self._pipeline.beat()

    def receive(self, message: ToWorker, history: Sequence[dict[str, str]] = ()) -> None:
        """Take a message of the supervisor; `history` comes with a `Go`."""
        command: Command = message if not isinstance(message, Go) else self._assigned(message, history)
        self._take(self._state.commanded(command))

    def _assigned(self, go: Go, history: Sequence[dict[str, str]]) -> Assigned:
        return Assigned(go, tuple(history), self._config.lines_in(go.language))

    def supervisor_gone(self) -> None:
        self._take(self._state.supervisor_gone())

    def _end_call(self, end: EndCall) -> None:
        self._take(self._state.ended(end))

    def _take(self, step: JobStep) -> None:
        self._state, effects = step
        for effect in effects:
            self._perform(effect)

    def _perform(self, effect: JobEffect) -> None:
        match effect:
            case Prejoin():
                self._log = log.bind(session_id=effect.session_id)
                self._start.prejoin(effect)
            case Assigned(go=go):
                self._log = log.bind(session_id=go.session_id, epoch=go.epoch)
                self._watch.lines = effect.lines
                self._last_words.prepare(go)
                self._pipeline.transport.client.front_end.succeeds = go.epoch > 1
                self._start.take(effect)
                self._tasks.spawn(self._keep_watch())
                self._tasks.spawn(keep_in_reach(self._pipeline, self.stopped.done, self._tell, self._log))
            case Speak(text=text, patience_s=patience_s):
                now = time.monotonic()
                self._say(*self._watch.notices(now, Notice(text, now, patience_s)))
            case AwaitRejoin(reason):
                expire = partial(self._end_call, EndCall(Cause.REMOVED, reason))
                self._rejoin_timer = asyncio.get_running_loop().call_later(REJOIN_ANSWER_S, expire)
            case Rejoin():
                if self._rejoin_timer is not None:
                    self._rejoin_timer.cancel()
                self._start.rejoin()
            case Say():
                self._say(effect)
            case CancelLastWords():
                self._last_words.cancel()
            case EndCall():
                self._start.is_ending = True
                self._log.info("job.ending", cause=effect.cause, detail=effect.detail)
                self._tasks.spawn(self._end(effect))
            case _:
                self._tell(effect)

    async def _keep_watch(self) -> None:
        pipeline = self._pipeline
        while not self._state.is_ending:
            await asyncio.sleep(_LOOK_S)
            self._check_intake()
            self._bridge_tools()
            unfinished, room = pipeline.ear.talk.so_far(), pipeline.transport.client
            now = time.monotonic()
            due = self._watch.look(
                now,
                unfinished=unfinished,
                caller_in_room=room.caller_in_room,
                loud_at=pipeline.loud_at,
                is_ready=room.valve.is_ready,
                is_paused=room.valve.is_paused,
                is_unreachable=room.valve.is_unreachable,
                is_agents=not pipeline.floor.floor.may_ask(now),
            )
            for found in due:
                match found:
                    case Unfinished():
                        self._tell(found)
                    case Say():
                        self._say(found)
                    case AskAgain(text):
                        self._tasks.spawn(pipeline.queue(AskAgainFrame(text)))
                    case Deaf():
                        self._tasks.spawn(self._hear_again(found))
                    case EndCall():
                        self._end_call(found)

    def _check_intake(self) -> None:
        """Act when the caller's audio does not arrive."""
        match self._pipeline.transport.client.look(time.monotonic()):
            case "resubscribe":
                self._take(self._state.faulted("stt", STALL_S))
            case "back":
                self._take(self._state.reconnected("stt"))
            case "lost":
                self._end_call(EndCall(Cause.FAILED, f"deaf: no audio of the caller came for {2 * STALL_S:g} s"))
            case "well":
                pass

    def _bridge_tools(self) -> None:
        """Say that a tool is still running; ask the model if a result has started no answer."""
        if (tools := self._start.toolbox) is None:
            return
        now, quiet = time.monotonic(), self._pipeline.ear.quiet
        if tools.is_running:
            quiet.thinking(now)  # a caller who waits for it is not idle
        due = self._patience.look(now, is_running=tools.is_running, is_owed=tools.is_owed, is_free=quiet.is_free)
        if due == "fill":
            filler = TTSSpeakFrame(self._state.lines.tool_filler, append_to_context=False)
            self._tasks.spawn(self._pipeline.queue(filler))
        elif due == "ask":
            self._tasks.spawn(self._pipeline.queue(LLMRunFrame()))

    async def _hear_again(self, deaf: Deaf) -> None:
        self._log.warning("job.deaf", times=deaf.times, proven=deaf.is_proven)
        if deaf.is_proven:
            self._take(self._state.faulted("stt", deaf.for_s))
        await self._pipeline.stt.replace_session(deaf)

    async def _end(self, end: EndCall) -> None:
        await self._last_words.end(end, has_voice="tts" not in self._state.health.failed)
        if not self.stopped.done():
            self.stopped.set_result(Stopped(cause=end.cause, detail=end.detail))

    def _say(self, *said: Say) -> None:
        for one in said:
            self._tasks.spawn(self._pipeline.queue(TTSSpeakFrame(one.text)))

    def _on_heard(self) -> None:
        self._tell(Heard(stage_ms=self._start.mark("heard")))
        self._tasks.spawn(self._pipeline.llm.connect_early())
        self._tasks.spawn(self._last_words.render_apology())

    def _on_typed(self, text: str) -> None:
        if self._state.is_running:
            self._tasks.spawn(self._pipeline.typed.take(text))

    def _on_error(self, provider: Provider | None, text: str, is_unusable: bool, name: str) -> None:
        if self._state.is_running:
            text = text[:_MOST_TEXT]
            self._log.warning("pipeline.error", provider=provider, error=name, unusable=is_unusable)
            self._log.debug("pipeline.error_text", provider=provider, error=text)
            answer = self._pipeline.llm.answer
            step = self._state.erred(
                provider,
                text if provider else name,  # without a provider it becomes the logged reason of the call's end
                is_unusable=is_unusable,
                has_broken_off=provider == "llm" and answer.has_begun,
                name=name,
                ms=round((time.monotonic() - answer.asked_at) * 1000),
            )
            self._take(step)

    def _on_bug(self, _task: str, error: BaseException) -> None:
        self._end_call(EndCall(Cause.FAILED, f"{type(error).__name__}: {error}"[:_MOST_TEXT]))


def _how_it_ended(error: BaseException | None) -> str:
    """The logged reason of a pipeline's end: the error's text could repeat what people say."""
    return "the pipeline ended by itself" if error is None else f"the pipeline failed: {type(error).__name__}"
