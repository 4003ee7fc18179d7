"""Starts the caller's turns as `domain.floor` decides, and holds the agent's audio while the caller makes a sound."""

# pyright: standard

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, Protocol, TypeAlias

from pipecat.frames.frames import (
    BotStartedSpeakingFrame,
    BotStoppedSpeakingFrame,
    DataFrame,
    Frame,
    FunctionCallCancelFrame,
    FunctionCallResultFrame,
    FunctionCallsStartedFrame,
    InterimTranscriptionFrame,
    InterruptionFrame,
    LLMFullResponseEndFrame,
    LLMFullResponseStartFrame,
    LLMMessagesAppendFrame,
    LLMRunFrame,
    TranscriptionFrame,
    TTSSpeakFrame,
    UserBackchannelFrame,
    VADUserStartedSpeakingFrame,
    VADUserStoppedSpeakingFrame,
)
from pipecat.turns.types import ProcessFrameResult
from pipecat.turns.user_start import BaseUserTurnStartStrategy
from pipecat.turns.user_stop import BaseUserTurnStopStrategy
from pipecat.utils.time import time_now_iso8601

from agent_runner.domain.delivery import has_words
from agent_runner.domain.due import LONGEST_S
from agent_runner.domain.floor import Floor, FloorStep, Ignore, Rules, StartTurn, TakeUp
from agent_runner.domain.hold import Pause, Resume
from agent_runner.worker.pipeline.typed_stop import TypedFrame

_LOOK_S: Final = 0.05
# Of the event loop, until the context and the log have what an interruption ended; none of them waits for anything.
_STEPS: Final = 20

Transcript: TypeAlias = TranscriptionFrame | InterimTranscriptionFrame


@dataclass
class TakenUpFrame(TranscriptionFrame):
    """Words of the caller's that were kept until the agent had spoken."""


@dataclass
class AskAgainFrame(DataFrame):
    """Asks for words that did not come. It takes their way to the user aggregator, so it comes before them or after."""

    text: str


class Voice(Protocol):
    """The agent's audio."""

    def pause(self) -> None: ...

    async def resume(self) -> None: ...


class FloorTurnStart(BaseUserTurnStartStrategy):
    """Tells `Floor` each event of the user aggregator, and performs the effects.

    Attributes:
        end_call: The tool by which the agent ends the call: the caller waits for no result of it. None: not offered.
        on_words: Called with each transcript that is the caller's and no echo.
        is_clear: Unset from the begin of a turn until the context and the log have what it interrupted.
        giving_up: A stop strategy: ends a turn whose words did not come, when the agent asks for them.
    """

    def __init__(self, rules: Rules, voice: Voice) -> None:
        super().__init__()
        self.floor: Floor = Floor(rules)
        self.end_call: str | None = None
        self.on_words: Callable[[Transcript], None] = lambda _transcript: None
        self.is_clear = asyncio.Event()
        self.is_clear.set()
        self.giving_up = BaseUserTurnStopStrategy()
        self._question: TTSSpeakFrame | None = None  # for words that did not come; None: the next turn has begun
        self._voice = voice
        self._timer: asyncio.TimerHandle | None = None
        self._is_closed = False

    def use(self, rules: Rules) -> None:
        """The call's rules, before it begins."""
        self.floor = replace(self.floor, rules=rules)

    def protect(self, line: str) -> None:
        """The caller cannot interrupt this line, the agent's next."""
        self.floor = self.floor.protected(line)

    async def unprotected(self) -> None:
        """Wait for the end of a line that the caller cannot interrupt, LONGEST_S at most for its beginning."""
        since = time.monotonic()
        while self._is_protected(since):  # noqa: ASYNC110 - the floor's states have no events
            await asyncio.sleep(_LOOK_S)

    def close(self) -> None:
        """The agent says its last words: no sound pauses them, no words interrupt them.

        A pause ends with the interruption that makes room for them.
        """
        self._is_closed = True
        self._stop_timer()

    def agent_said(self, text: str) -> None:
        """The caller heard these words of the agent's."""
        self.floor = self.floor.agent_said(time.monotonic(), text)

    async def handle_user_turn_started(self) -> None:
        self.floor = self.floor.turn_began()
        self.is_clear.clear()
        if self._question is not None:
            self._question.text = ""  # an interruption overtakes a frame that the next processor has not taken yet
            self._question = None

    async def handle_user_turn_stopped(self) -> None:
        self.floor = self.floor.turn_ended(time.monotonic())

    async def cleanup(self) -> None:
        self._stop_timer()

    async def process_frame(self, frame: Frame) -> ProcessFrameResult:
        floor, now = self.floor, time.monotonic()
        if self._is_closed:
            if isinstance(frame, TranscriptionFrame | InterimTranscriptionFrame):
                self.on_words(frame)
            return ProcessFrameResult.STOP
        match frame:
            case VADUserStartedSpeakingFrame():
                await self._take(floor.sound_began(now, frame.start_secs))
            case VADUserStoppedSpeakingFrame():
                await self._take(floor.sound_ended(now, frame.stop_secs))
            case TypedFrame() | TakenUpFrame():
                await self._take((floor, () if floor.has_turn else (StartTurn(),)), frame)
                self.floor = self.floor.turn_has_words()
            case TranscriptionFrame() | InterimTranscriptionFrame() if frame.text.strip():
                await self._take(floor.words(now, frame.text, is_final=isinstance(frame, TranscriptionFrame)), frame)
                if not self.floor.sound.is_echo:
                    self.on_words(frame)
            case BotStartedSpeakingFrame():
                self.floor = floor.agent_began()
            case BotStoppedSpeakingFrame():
                await self._take(floor.agent_ended(now))
            case AskAgainFrame():
                await self._ask_again(frame.text)
            case TTSSpeakFrame() if has_words(frame.text):
                self.floor = floor.agent_prepares(now)
            case InterruptionFrame():
                self.floor = floor.interrupted()
            case _:
                await self._expect(frame, now)
        return ProcessFrameResult.CONTINUE

    async def left_output(self, frame: Frame) -> None:
        """A frame left the output: the caller has heard all that was before it."""
        now, due = time.monotonic(), self.floor.due
        match frame:
            case _ if self._is_closed:
                pass
            case InterruptionFrame():
                for _ in range(_STEPS):
                    await asyncio.sleep(0)
                self.is_clear.set()
            case LLMFullResponseStartFrame():
                await self._take(self.floor.agent_expects(now, due.answer_began(now)))
            case LLMFullResponseEndFrame():
                await self._take(self.floor.agent_expects(now, due.answer_ended()))
            case _:
                pass

    async def _expect(self, frame: Frame, now: float) -> None:
        """Note which answers and results the caller waits for; the agent's own end of the call is none."""
        due = self.floor.due
        match frame:
            case LLMRunFrame() | LLMMessagesAppendFrame(run_llm=True):
                due = due.asked(now)
            case FunctionCallsStartedFrame(function_calls=calls):
                due = due.tools_began(now, [call.tool_call_id for call in calls if call.function_name != self.end_call])
            case FunctionCallResultFrame(tool_call_id=call_id, properties=properties):
                is_asked = properties is None or properties.run_llm is not False
                due = due.tool_ended(now, call_id, is_asked=is_asked)
            case FunctionCallCancelFrame(tool_call_id=call_id, run_llm=is_asked):
                due = due.tool_ended(now, call_id, is_asked=is_asked)
            case _:
                return
        await self._take(self.floor.agent_expects(now, due))

    async def _ask_again(self, question: str) -> None:
        """Ask for words that did not come, unless they have come or the caller makes another sound.

        The question ends the open turn, so words that come after all begin another one, which interrupts the question.
        """
        now = time.monotonic()
        if self.floor.sound.is_on or not self.floor.may_ask(now):
            return
        self.floor = self.floor.agent_prepares(now, asks=True)
        await self.giving_up.trigger_user_turn_stopped()
        self._question = TTSSpeakFrame(question)
        await self.push_frame(self._question)

    def _is_protected(self, since: float) -> bool:
        return self.floor.is_protected and (self.floor.is_speaking or time.monotonic() - since < LONGEST_S)

    async def _take(self, step: FloorStep, heard: Transcript | None = None) -> None:
        self.floor, effects = step
        for effect in effects:
            match effect:
                case Pause():
                    self._voice.pause()
                case Resume():
                    await self._voice.resume()
                case StartTurn():
                    await self.trigger_user_turn_started()
                    if isinstance(heard, TranscriptionFrame):
                        self.floor = self.floor.turn_has_words()
                case Ignore():
                    await self.trigger_reset_aggregation()
                    if effect.backchannel and heard is not None:
                        await self.push_frame(UserBackchannelFrame(heard.text, heard.user_id, heard.timestamp))
                case TakeUp(text):
                    await self.push_frame(TakenUpFrame(text, "", time_now_iso8601()))
        self._wake()

    def _wake(self) -> None:
        """Look again when the next pause or resume is due."""
        self._stop_timer()
        if (at := self.floor.next_at) is not None:
            delay = max(0.0, at - time.monotonic())
            self._timer = asyncio.get_running_loop().call_later(delay, self._on_time)

    def _on_time(self) -> None:
        self._timer = None
        self.task_manager.create_task(self._pass(), f"{self}::passed")

    async def _pass(self) -> None:
        if not self._is_closed:
            await self._take(self.floor.passed(time.monotonic()))

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
