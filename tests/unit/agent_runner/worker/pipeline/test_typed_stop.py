"""Text that the caller types into a turn that is open, with Pipecat's own control of turns."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

from pipecat.clocks.system_clock import SystemClock
from pipecat.frames.frames import (
    Frame,
    InterimTranscriptionFrame,
    TranscriptionFrame,
    VADUserStartedSpeakingFrame,
    VADUserStoppedSpeakingFrame,
)
from pipecat.processors.frame_processor import FrameProcessorSetup
from pipecat.turns.user_stop import BaseUserTurnStopStrategy
from pipecat.turns.user_turn_controller import UserTurnController
from pipecat.turns.user_turn_strategies import UserTurnStrategies
from pipecat.utils.asyncio.task_manager import TaskManager

from agent_runner.domain.floor import Rules
from agent_runner.worker.pipeline.dictation_stop import SilenceStop
from agent_runner.worker.pipeline.turn_start import FloorTurnStart

SOUND = VADUserStartedSpeakingFrame(start_secs=0.2)
SILENCE = VADUserStoppedSpeakingFrame(stop_secs=0.2)
PATIENCE_S = 0.15


class Caller:
    """The caller's turns, as the user aggregator would write them."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.wanted_words = 0
        self.speeches_ended = 0
        self.start = FloorTurnStart(Rules(), cast(Any, None))
        self.stop = SilenceStop(
            wait_s=9,
            user_speech_timeout=0.01,
            ask_for_words=self._ask_for_words,
            end_speech=self._end_speech,
            words_s=PATIENCE_S,
            sound_s=PATIENCE_S,
        )
        self.other = BaseUserTurnStopStrategy()
        strategies = UserTurnStrategies(start=[self.start], stop=[self.stop, self.other])
        self.controller = UserTurnController(user_turn_strategies=strategies, user_turn_stop_timeout=9)
        self._words: list[str] = []
        self._turn = asyncio.Lock()  # the aggregator takes one frame at a time
        self._feeding: set[asyncio.Task[None]] = set()

    async def hear(self, *frames: Frame) -> None:
        for frame in frames:
            async with self._turn:
                if isinstance(frame, TranscriptionFrame):
                    self._words.append(frame.text)
                await self.controller.process_frame(frame)

    async def settle(self, seconds: float = 0.05) -> None:
        await asyncio.sleep(seconds)

    async def _ask_for_words(self) -> None:
        self.wanted_words += 1

    def _end_speech(self) -> None:
        self.speeches_ended += 1
        self._later(SILENCE)

    def _later(self, frame: Frame) -> None:
        task = asyncio.create_task(self.hear(frame))
        self._feeding.add(task)
        task.add_done_callback(self._feeding.discard)

    async def on_push(self, _: object, frame: Frame, *__: object) -> None:
        self._later(frame)

    async def on_answer(self, *_: object) -> None:
        if self._words:
            self.asked.append(" ".join(self._words))
            self._words.clear()


@asynccontextmanager
async def calling() -> AsyncIterator[Caller]:
    caller = Caller()
    await caller.controller.setup(FrameProcessorSetup(SystemClock(), TaskManager(), cast(Any, None)))
    caller.controller.add_event_handler("on_push_frame", caller.on_push)
    caller.controller.add_event_handler("on_user_turn_inference_triggered", caller.on_answer)
    caller.controller.add_event_handler("on_user_turn_stopped", caller.on_answer)
    yield caller
    await caller.controller.cleanup()


def words(text: str, *, finalized: bool = True) -> TranscriptionFrame:
    return TranscriptionFrame(text, "", "", finalized=finalized)


async def test_text_typed_while_the_caller_speaks_waits_for_the_end_of_the_speech_and_its_words() -> None:
    async with calling() as caller:
        await caller.hear(SOUND, InterimTranscriptionFrame("My number", "", ""))
        await caller.stop.add("B7K9.")
        await caller.settle()
        assert caller.asked == []
        await caller.hear(SILENCE)
        await caller.settle()
        assert caller.asked == [], "the recogniser owes the last words"
        await caller.hear(words("My number is"))
        await caller.settle()
        assert caller.asked == ["My number is B7K9."]
        assert not caller.start.floor.has_turn


async def test_a_caller_who_goes_on_speaking_is_not_interrupted() -> None:
    async with calling() as caller:
        await caller.hear(SOUND)
        await caller.stop.add("B7K9.")
        for _ in range(4):
            await caller.settle(PATIENCE_S * 0.6)
            await caller.hear(InterimTranscriptionFrame("I talk", "", ""))
        assert (caller.asked, caller.speeches_ended) == ([], 0)


async def test_a_sound_without_words_delays_typed_text_for_a_moment_only() -> None:
    async with calling() as caller:
        await caller.hear(SOUND)
        await caller.stop.add("Can you read this?")
        assert caller.asked == []
        await caller.settle(1.5 * PATIENCE_S)
        assert (caller.asked, caller.wanted_words) == ([], 1)
        await caller.settle(PATIENCE_S)
        assert (caller.asked, caller.speeches_ended) == (["Can you read this?"], 1)


async def test_words_that_the_recogniser_had_not_sent_keep_the_turn_open() -> None:
    async with calling() as caller:
        await caller.hear(SOUND)
        await caller.stop.add("B7K9.")
        await caller.settle(1.5 * PATIENCE_S)
        assert caller.wanted_words == 1
        await caller.hear(words("My number"))
        await caller.settle(0.8 * PATIENCE_S)
        await caller.hear(SILENCE, words("is this."))
        await caller.settle()
        assert (caller.asked, caller.speeches_ended) == (["My number is this. B7K9."], 0)


async def test_typed_text_ends_a_turn_that_waits_for_the_rest_of_a_number() -> None:
    async with calling() as caller:
        await caller.hear(SOUND, SILENCE, words("My number is 5 5 5"))
        await caller.settle()
        assert caller.asked == []
        await caller.stop.add("Forget it.")
        await caller.settle()
        assert caller.asked == ["My number is 5 5 5 Forget it."]


async def test_words_that_do_not_come_are_asked_for_and_awaited_for_a_moment() -> None:
    async with calling() as caller:
        await caller.hear(SOUND, SILENCE)
        await caller.stop.add("Hello?")
        assert (caller.asked, caller.wanted_words) == ([], 1)
        await caller.settle(2 * PATIENCE_S)
        assert caller.asked == ["Hello?"]


async def test_texts_of_one_turn_are_joined() -> None:
    async with calling() as caller:
        await caller.hear(SOUND)
        await caller.stop.add("One.")
        await caller.stop.add("Two.")
        await caller.hear(SILENCE, words("Zero."))
        await caller.settle()
        assert caller.asked == ["Zero. One.\nTwo."]


async def test_text_of_a_turn_that_something_else_ended_is_the_next_turn() -> None:
    async with calling() as caller:
        await caller.hear(SOUND, SILENCE)
        await caller.stop.add("Hello?")
        await caller.other.trigger_user_turn_stopped()  # MAX_TURN_S, or Pipecat's own limit
        await caller.settle()
        assert caller.asked == ["Hello?"]
        assert not caller.start.floor.has_turn


async def test_a_sound_that_begins_as_the_turn_ends_keeps_the_text_in_the_turn() -> None:
    async with calling() as caller:
        await caller.hear(SOUND, SILENCE, words("My number is 5 5 5"))
        await caller.stop.add("B7K9.")
        await caller.hear(SOUND)
        await caller.settle()
        assert caller.asked == []
        await caller.hear(SILENCE, words("please."))
        await caller.settle()
        assert len(caller.asked) == 1
        assert sorted(caller.asked[0].split()) == sorted(["My", "number", "is", "5", "5", "5", "B7K9.", "please."])
