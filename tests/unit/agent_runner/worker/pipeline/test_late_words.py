"""The caller's words when they come after the agent has lost patience: with Pipecat's own control of turns."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from pipecat.frames.frames import (
    Frame,
    InterimTranscriptionFrame,
    LLMContextFrame,
    LLMFullResponseEndFrame,
    LLMFullResponseStartFrame,
    LLMTextFrame,
    TranscriptionFrame,
    VADUserStartedSpeakingFrame,
    VADUserStoppedSpeakingFrame,
)
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.aggregators.llm_response_universal import LLMContextAggregatorPair, LLMUserAggregatorParams
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.turns.user_turn_strategies import UserTurnStrategies
from pipecat.workers.runner import WorkerRunner

from agent_runner.domain.floor import Rules
from agent_runner.domain.hearing import Hearing
from agent_runner.domain.quiet import Quiet
from agent_runner.domain.watch import AskAgain, Watch
from agent_runner.link.messages import Turn
from agent_runner.worker.pipeline.dictation_stop import SilenceStop, SmartTurnStop
from agent_runner.worker.pipeline.ear import Ear
from agent_runner.worker.pipeline.heard_words import HeardWords
from agent_runner.worker.pipeline.shown import Showing
from agent_runner.worker.pipeline.turn_start import AskAgainFrame, FloorTurnStart
from agent_runner.worker.room.speech_clock import SpeechClock
from tests.support.agent_runner.spoken import RATE, room, voice
from tests.support.agent_runner.turns import Finished, Unpaused
from tests.support.waiting import until

PATIENCE_S = 0.3
TURN_S = 2.5  # then the turn ends without words
SOUND_S = 1.2
QUESTION = "What time is it?"
ANSWER = "It is noon."
SORRY = ("Sorry, I didn't get that. Could you say it again? " + "I am listening to you. " * 3).strip()


class Listening(FrameProcessor):
    """Speech to text, whose frames a test sends."""

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        await self.push_frame(frame, direction)


class Model(FrameProcessor):
    """Gives ANSWER to each request, after a while."""

    def __init__(self, thinks_s: float) -> None:
        super().__init__()
        self.asked: list[list[tuple[str, str]]] = []
        self._thinks_s = thinks_s

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        if not isinstance(frame, LLMContextFrame):
            await self.push_frame(frame, direction)
            return
        self.asked.append(messages(frame.context))
        await asyncio.sleep(self._thinks_s)
        for part in (LLMFullResponseStartFrame(), LLMTextFrame(ANSWER), LLMFullResponseEndFrame()):
            await self.push_frame(part)


def messages(context: LLMContext) -> list[tuple[str, str]]:
    found: list[Any] = context.get_messages()
    return [(message["role"], message["content"]) for message in found]


class Call:
    """A pipeline from the recogniser's words to the context, and the watch on it."""

    def __init__(self, how: str, thinks_s: float) -> None:
        self.turns: list[Turn] = []
        self.context, self.model = LLMContext(), Model(thinks_s)
        clock = SpeechClock()
        clock.run()
        self.floor = FloorTurnStart(Rules(), Unpaused())
        stt, tts, output = Listening(), voice(), room()
        heard = HeardWords(clock, self.floor.agent_said, lambda: None, self.floor.left_output)
        hearing, quiet = Hearing(PATIENCE_S), Quiet(20, 60)
        ear = Ear(
            stt=stt,
            llm=self.model,
            tts=tts,
            output=output,
            heard=heard,
            on_turn=self.turns.append,
            on_worked=lambda _provider: None,
            hearing=hearing,
            quiet=quiet,
            shown=Showing(lambda _effect: None),
            floor=lambda: self.floor.floor,
        )
        self.floor.on_words = ear.caller_said
        self._watch = Watch(hearing, quiet, ear.flow, bytes_per_s=2 * RATE)
        pair = LLMContextAggregatorPair(
            self.context,
            user_params=LLMUserAggregatorParams(
                user_turn_strategies=UserTurnStrategies(
                    start=[self.floor], stop=[_stop(how, self.floor.is_clear), self.floor.giving_up]
                ),
                user_turn_stop_timeout=TURN_S,
                empty_user_turn=None,
            ),
        )
        user, assistant = pair.user(), pair.assistant()

        @user.event_handler("on_user_turn_stopped")
        async def _(_user: object, _strategy: object, message: Any) -> None:
            ear.user_said(message.content or "")

        @assistant.event_handler("on_assistant_turn_stopped")
        async def _(_assistant: object, message: Any) -> None:
            ear.agent_said(message.content, interrupted=message.interrupted)

        self.worker = PipelineWorker(
            Pipeline([stt, user, self.model, tts, output, heard, assistant]),
            params=PipelineParams(audio_out_sample_rate=RATE),
            observers=[ear],
            clock=clock,
            enable_rtvi=False,
            enable_turn_tracking=False,
            idle_timeout_secs=None,
        )

    @asynccontextmanager
    async def runs(self) -> AsyncIterator[None]:
        runner = WorkerRunner(handle_sigint=False)
        await runner.add_workers(self.worker)
        tasks = [asyncio.create_task(runner.run()), asyncio.create_task(self._keep_watch())]
        try:
            yield
        finally:
            await self.worker.cancel()
            tasks[1].cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def makes_a_sound(self) -> None:
        await self.hears(VADUserStartedSpeakingFrame(start_secs=0.2))
        await asyncio.sleep(SOUND_S - 0.2)
        await self.hears(VADUserStoppedSpeakingFrame(stop_secs=0.0))

    async def hears(self, *frames: Frame) -> None:
        for frame in frames:
            frame.interruptible = not isinstance(frame, TranscriptionFrame)  # as `SpeechToText` pushes it
            await self.worker.queue_frame(frame)

    async def _keep_watch(self) -> None:
        while True:
            await asyncio.sleep(0.01)
            now, floor = time.monotonic(), self.floor
            may_ask = floor.floor.may_ask(now)
            for found in self._watch.look(now, unfinished=None, caller_in_room=True, is_agents=not may_ask):
                if isinstance(found, AskAgain):
                    await self.worker.queue_frame(AskAgainFrame(SORRY))


def _stop(how: str, is_clear: asyncio.Event) -> SmartTurnStop | SilenceStop:
    async def ask_for_words() -> None: ...

    shared: dict[str, Any] = {
        "wait_s": 9,
        "is_clear": is_clear,
        "ask_for_words": ask_for_words,
        "end_speech": lambda: None,
    }
    if how == "smart-turn":
        return SmartTurnStop(**shared, turn_analyzer=Finished())
    return SilenceStop(**shared, user_speech_timeout=0.05)


def final(text: str) -> TranscriptionFrame:
    return TranscriptionFrame(text, "", "")


LATE: dict[str, Callable[[Call], bool]] = {
    "in time": lambda _: True,
    "as the question begins": lambda call: call.floor.floor.asked_at > 0,
    "in the question": lambda call: len(call.floor.floor.echo.said) > 2,
    "after the question": lambda call: bool(call.turns) and not call.floor.floor.is_speaking,
}


@pytest.mark.parametrize("how", ["smart-turn", "silence"])
@pytest.mark.parametrize(("late", "text"), [*((late, QUESTION) for late in LATE), ("in the question", "Yes.")])
async def test_late_words_are_answered_once_and_interrupt_the_question_for_them(late: str, text: str, how: str) -> None:
    call = Call(how, thinks_s=0.05)
    async with call.runs():
        await call.makes_a_sound()
        await until(lambda: LATE[late](call), 9)
        await call.hears(final(text))
        await until(lambda: any(turn.user_text for turn in call.turns), 9)
        await asyncio.sleep(PATIENCE_S + 0.1)

    assert [(turn.heard_text, turn.interrupted) for turn in call.turns if turn.user_text] == [(ANSWER, False)]
    asked_for = [turn.heard_text for turn in call.turns if not turn.user_text]
    assert len(asked_for) <= (late != "in time"), "its first word may not have been heard"
    assert all(SORRY.startswith(heard) for heard in asked_for)
    assert (SORRY in asked_for) == (late == "after the question")
    assert [asked[-1] for asked in call.model.asked] == [("user", text)]
    said = messages(call.context)
    assert said[-1] == ("assistant", ANSWER)
    assert sorted(said[:-1]) == sorted([*(("assistant", heard) for heard in asked_for), ("user", text)])
    answered = next(turn for turn in call.turns if turn.user_text)
    assert late == "in time" or answered.stage_ms["stt"] > 900 * PATIENCE_S, "the stages show it"


@pytest.mark.parametrize("how", ["smart-turn", "silence"])
@pytest.mark.parametrize("is_before", [False, True])
async def test_words_just_before_or_behind_the_question_are_answered_instead(how: str, *, is_before: bool) -> None:
    call = Call(how, thinks_s=0.05)
    async with call.runs():
        await call.makes_a_sound()
        question = AskAgainFrame(SORRY)
        await call.hears(*((final(QUESTION), question) if is_before else (question, final(QUESTION))))
        await until(lambda: call.turns, 9)
        await asyncio.sleep(PATIENCE_S + 0.1)

    assert [(turn.user_text, turn.heard_text, turn.interrupted) for turn in call.turns] == [(QUESTION, ANSWER, False)]
    assert messages(call.context) == [("user", QUESTION), ("assistant", ANSWER)]


@pytest.mark.parametrize("how", ["smart-turn", "silence"])
async def test_words_before_the_end_of_speech_are_not_asked_for_while_their_answer_is_due(how: str) -> None:
    call = Call(how, thinks_s=2 * PATIENCE_S)
    async with call.runs():
        await call.hears(VADUserStartedSpeakingFrame(start_secs=0.2))
        await asyncio.sleep(SOUND_S)
        await call.hears(InterimTranscriptionFrame("What time", "", ""), final(QUESTION))
        await call.hears(VADUserStoppedSpeakingFrame(stop_secs=0.0))
        await until(lambda: call.turns, 9)

    assert [(turn.user_text, turn.heard_text) for turn in call.turns] == [(QUESTION, ANSWER)]


async def test_a_sound_without_words_is_asked_about_once() -> None:
    call = Call("silence", thinks_s=0.05)
    async with call.runs():
        await call.makes_a_sound()
        await until(lambda: call.turns, 9)
        await call.makes_a_sound()
        await asyncio.sleep(2 * TURN_S)

    assert [turn.heard_text for turn in call.turns] == [SORRY]
    assert call.model.asked == []
