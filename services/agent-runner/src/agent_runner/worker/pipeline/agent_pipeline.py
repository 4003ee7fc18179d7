"""The agent's pipeline: speech to text, language model and text to speech in a row, built before its call is known."""

# pyright: standard

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from pipecat.clocks.base_clock import BaseClock
from pipecat.frames.frames import (
    ErrorFrame,
    Frame,
    InterruptionFrame,
    LLMAssistantPushAggregationFrame,
    OutputAudioRawFrame,
    TTSStartedFrame,
    TTSTextFrame,
)
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.aggregators.llm_response_universal import (
    AssistantTurnStoppedMessage,
    LLMContextAggregatorPair,
    LLMUserAggregatorParams,
    UserTurnStoppedMessage,
)
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.turns.user_stop import BaseUserTurnStopStrategy
from pipecat.turns.user_turn_strategies import UserTurnStrategies
from pipecat.workers.runner import WorkerRunner

from agent_runner.agent_config import AgentConfig
from agent_runner.domain.hearing import Hearing
from agent_runner.domain.quiet import Quiet
from agent_runner.link.messages import Beat, Provider, Turn
from agent_runner.worker.pipeline import summaries
from agent_runner.worker.pipeline.dictation_stop import SilenceStop, SmartTurnStop
from agent_runner.worker.pipeline.ear import Ear
from agent_runner.worker.pipeline.heard_words import HeardWords
from agent_runner.worker.pipeline.long_turn import LongTurnStop
from agent_runner.worker.pipeline.shown import Showing
from agent_runner.worker.pipeline.turn_start import FloorTurnStart
from agent_runner.worker.pipeline.typed_turns import TypedTurns
from agent_runner.worker.providers import models
from agent_runner.worker.providers.error_name import error_name
from agent_runner.worker.providers.llm import CANCELLED, LanguageModel
from agent_runner.worker.providers.stt import SpeechToText
from agent_runner.worker.providers.tts import TextToSpeech
from agent_runner.worker.room.transport import WarmTransport
from chassis.tasks import first_of

START_S: Final = 10.0

_LATE_S: Final = 2.0


@dataclass(frozen=True, slots=True)
class PipelineListener:
    """Callbacks for what happens in the pipeline.

    Attributes:
        turn: A turn ended.
        worked: A provider produced output.
        fault: A provider has kept the agent deaf or mute for so many seconds.
        recovered: A provider is connected again.
        lost: The voice failed to speak an utterance, so many seconds after the request for it.
        error: A processor reported an error: its provider (None for other processors), the text, whether the
            processor has become unusable, and the error's name.
        ended: The pipeline ended; the error that it failed with, None without one.
        typed: The caller typed a text.
    """

    turn: Callable[[Turn], None]
    worked: Callable[[Provider], None]
    fault: Callable[[Provider, float], None]
    recovered: Callable[[Provider], None]
    lost: Callable[[float], None]
    error: Callable[[Provider | None, str, bool, str], None]
    ended: Callable[[BaseException | None], None]
    typed: Callable[[str], None]


class AgentPipeline:
    """LiveKit -> AssemblyAI -> context -> Groq -> Inworld -> LiveKit -> context, with the local turn models."""

    def __init__(self, config: AgentConfig, listener: PipelineListener, *, is_traced: bool = False) -> None:
        """Build the pipeline without starting it."""
        self._listener = listener
        self.transport = WarmTransport(
            in_sample_rate=config.stt_sample_rate,
            out_sample_rate=config.tts_sample_rate,
            typed=listener.typed,
            shows_captions=config.captions,
            longest_typed=config.typed_text_max_chars,
            suppresses_noise=config.noise_suppression,
        )
        self.stt = SpeechToText.of(config)
        self.llm = LanguageModel.of(config)
        self.tts = TextToSpeech.of(config)
        self.context = LLMContext()
        client, output = self.transport.client, self.transport.output()
        self.floor = FloorTurnStart(config.floor_rules(), client.valve)
        stops = _stops(config, self.stt, self.floor.is_clear)
        user, assistant = _aggregators(config, self.context, self.llm, self.floor, stops)
        heard = HeardWords(client.valve.clock, self.floor.agent_said, client.valve.cut, self.floor.left_output)
        self.ear = Ear(
            stt=self.stt,
            llm=self.llm,
            tts=self.tts,
            output=output,
            heard=heard,
            on_turn=self._on_turn,
            on_worked=listener.worked,
            hearing=Hearing(config.stt_silence_s),
            quiet=Quiet(config.user_idle_prompt_s, config.user_idle_end_s),
            shown=Showing(client.front_end.show),
            floor=lambda: self.floor.floor,
        )
        self.floor.on_words = self.ear.caller_said
        processors = [self.transport.input(), self.stt, user, self.llm, self.tts, output, heard, assistant]
        self.worker = _worker(config, processors, self.ear, client.valve.clock, is_traced=is_traced)
        self.typed = TypedTurns(self.worker, self.ear, self.floor, stops[0])
        self._greeting: Any = None  # the first line's message in the context, until it ends
        self._running: asyncio.Task[None] | None = None
        self._listen(user, assistant)

    async def start(self) -> None:
        """Start the pipeline; it then lacks only a room and the providers.

        Raises:
            TimeoutError: The pipeline did not start in START_S.
            Exception: What the pipeline failed with before.
        """
        started = asyncio.Event()

        @self.worker.event_handler("on_pipeline_started")
        async def _(_worker: object, _frame: object) -> None:
            started.set()

        runner = WorkerRunner(handle_sigint=False)
        await runner.add_workers(self.worker)
        self._running = asyncio.create_task(runner.run(), name="pipeline")  # `Tasks` would log what people say
        self._running.add_done_callback(self._ended)
        if await first_of(started.wait(), asyncio.shield(self._running), timeout_s=START_S) != 0:
            raise TimeoutError(f"the pipeline did not start in {START_S:g} s")

    def beat(self) -> Beat:
        return Beat(caller_in_room=self.transport.client.caller_in_room)

    def greet_with(self, line: str) -> None:
        """Put the line that the agent is about to speak into the context; an interruption cuts it to what was heard."""
        self._greeting = {"role": "assistant", "content": line}
        self.context.add_message(self._greeting)
        self.ear.talk.open_with(line)

    @property
    def shown(self) -> Showing:
        """What the caller's client is shown."""
        return self.ear.shown

    @property
    def loud_at(self) -> float:
        """Monotonic time at which the caller's line was last loud, with speech or without; 0: perhaps by an echo."""
        at = self.sound_at
        return 0.0 if self.floor.floor.may_echo(at) else at

    @property
    def sound_at(self) -> float:
        """Monotonic time of the caller's last sound, an echo or not."""
        return models.load().vad.loud_at

    async def queue(self, *frames: Frame) -> None:
        """Send frames through the pipeline from its start."""
        await self.worker.queue_frames(list(frames))

    async def wait_closed(self, timeout_s: float) -> None:
        """Wait until the pipeline ends, or `timeout_s` passes."""
        if self._running is not None:
            await asyncio.wait([self._running], timeout=timeout_s)

    async def play(self, pcm: bytes, words: str = "") -> None:
        """Interrupt the agent, play these samples (mono, 16 bit, at the output's rate) and wait until they are sent.

        Args:
            words: What they say, for captions and the log.
        """
        output = self.transport.output()
        bytes_per_s = 2 * output.sample_rate
        await output.queue_frame(InterruptionFrame(), FrameDirection.DOWNSTREAM)  # ends a pause, too
        is_out = self.ear.after(len(pcm))
        padded = pcm + bytes(bytes_per_s // 10)  # the output holds back an incomplete chunk
        said = TTSTextFrame(words, "sentence", context_id="played")
        said.includes_inter_frame_spaces = True
        line = (TTSStartedFrame("played"), said) if words else ()
        for frame in (*line, OutputAudioRawFrame(padded, output.sample_rate, 1), LLMAssistantPushAggregationFrame()):
            await output.queue_frame(frame, FrameDirection.DOWNSTREAM)
        with suppress(TimeoutError):
            async with asyncio.timeout(len(pcm) / bytes_per_s + _LATE_S):
                await is_out.wait()

    def _ended(self, running: asyncio.Task[None]) -> None:
        self._listener.ended(None if running.cancelled() else running.exception())

    def _on_turn(self, turn: Turn) -> None:
        greeting, self._greeting = self._greeting, None
        if greeting is not None and turn.interrupted:
            heard: list[Any] = [{**greeting, "content": turn.heard_text}] if turn.heard_text else []
            messages: list[Any] = self.context.get_messages()
            at = next((n for n, message in enumerate(messages) if message is greeting), None)
            if at is not None:
                self.context.set_messages([*messages[:at], *heard, *messages[at + 1 :]])
        self._listener.turn(turn)

    def _on_lost(self, after_s: float) -> None:
        self.ear.agent_was_lost()
        self._listener.lost(after_s)

    def _listen(self, user: Any, assistant: Any) -> None:
        self.llm.on_fault = partial(self._listener.fault, "llm")
        self.stt.on_fault = partial(self._listener.fault, "stt")
        self.tts.on_fault = partial(self._listener.fault, "tts")
        self.stt.on_session = lambda: self.ear.hearing.session(time.monotonic())
        self.stt.on_message = self.ear.hearing.message
        self.stt.on_recovery = partial(self._listener.recovered, "stt")
        self.tts.on_recovery = partial(self._listener.recovered, "tts")
        self.tts.on_lost = self._on_lost

        @self.worker.event_handler("on_pipeline_error")
        async def _(_worker: object, frame: ErrorFrame) -> None:
            asked = self.llm.asked if frame.processor is self.llm else None
            if asked is not None:
                self.shown.unanswered(failed=True)
            unusable = frame.processor is not None and not frame.processor.is_usable
            self._listener.error(self._provider(frame.processor), frame.error, unusable, error_name(frame, asked))

        @user.event_handler("on_user_turn_stopped")
        async def _(_user: object, _strategy: object, message: UserTurnStoppedMessage) -> None:
            self.ear.user_said(message.content or "")

        @assistant.event_handler("on_summary_applied")
        async def _(_assistant: object, _summariser: object, _event: object) -> None:
            self.ear.talk.summary = summaries.found_in(self.context.messages)

        @assistant.event_handler("on_assistant_turn_stopped")
        async def _(_assistant: object, message: AssistantTurnStoppedMessage) -> None:
            is_cancelled = self.llm.answer.finish == CANCELLED
            self.ear.agent_said(message.content, interrupted=message.interrupted, is_cancelled=is_cancelled)

    def _provider(self, processor: object) -> Provider | None:
        names: tuple[tuple[object, Provider], ...] = ((self.stt, "stt"), (self.llm, "llm"), (self.tts, "tts"))
        return next((name for service, name in names if service is processor), None)


def _worker(
    config: AgentConfig, processors: list[FrameProcessor], observer: Ear, clock: BaseClock, *, is_traced: bool
) -> PipelineWorker:
    return PipelineWorker(
        Pipeline(processors),
        params=PipelineParams(
            audio_in_sample_rate=config.stt_sample_rate,
            audio_out_sample_rate=config.tts_sample_rate,
            enable_metrics=is_traced,
        ),
        observers=[observer],
        clock=clock,
        enable_tracing=is_traced,
        enable_turn_tracking=is_traced,  # only tracing uses it
        enable_rtvi=False,  # messages for Pipecat's own clients; our callers are other clients
        idle_timeout_secs=None,  # the scheduler ends idle calls
    )


def _stops(
    config: AgentConfig, stt: SpeechToText, is_clear: asyncio.Event
) -> tuple[SmartTurnStop | SilenceStop, *tuple[LongTurnStop, ...]]:
    """The ends of the caller's turn; typed text goes to the first."""
    tuned = models.tuned(config)
    shared = {
        "wait_s": config.dictation_wait_s,
        "is_clear": is_clear,
        "ask_for_words": stt.ask_for_words,
        "end_speech": tuned.vad.end_speech,
    }
    stop = (
        SmartTurnStop(**shared, least_s=config.aggregation_timeout, turn_analyzer=tuned.smart_turn)
        if config.smart_turn
        else SilenceStop(**shared, user_speech_timeout=config.aggregation_timeout)
    )
    if not config.max_turn_s:
        return (stop,)
    return stop, LongTurnStop(config.max_turn_s, stt.ask_for_words, tuned.vad.end_speech)


def _aggregators(
    config: AgentConfig,
    context: LLMContext,
    llm: LanguageModel,
    start: FloorTurnStart,
    stops: Sequence[BaseUserTurnStopStrategy],
) -> tuple[Any, Any]:
    pair = LLMContextAggregatorPair(
        context,
        user_params=LLMUserAggregatorParams(
            vad_analyzer=models.tuned(config).vad,
            user_turn_strategies=UserTurnStrategies(start=[start], stop=[*stops, start.giving_up]),
            user_turn_stop_timeout=config.user_turn_stop_timeout,
            user_idle_timeout=0,
            empty_user_turn=None,  # `Hearing` decides what a sound without words is worth
        ),
        assistant_params=summaries.parameters(config, llm),
    )
    return pair.user(), pair.assistant()
