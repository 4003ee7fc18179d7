"""smart-turn decides beside the frames that follow, with Pipecat's own control of turns."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

from pipecat.audio.turn.base_turn_analyzer import EndOfTurnState
from pipecat.clocks.system_clock import SystemClock
from pipecat.frames.frames import (
    Frame,
    InterimTranscriptionFrame,
    TranscriptionFrame,
    VADUserStartedSpeakingFrame,
    VADUserStoppedSpeakingFrame,
)
from pipecat.processors.frame_processor import FrameProcessorSetup
from pipecat.turns.user_turn_controller import UserTurnController
from pipecat.turns.user_turn_strategies import UserTurnStrategies
from pipecat.utils.asyncio.task_manager import TaskManager

from agent_runner.domain.floor import Rules
from agent_runner.worker.pipeline.dictation_stop import SmartTurnStop
from agent_runner.worker.pipeline.turn_start import FloorTurnStart
from tests.support.agent_runner.turns import Finished, Unpaused
from tests.support.waiting import until

SOUND = VADUserStartedSpeakingFrame(start_secs=0.2)
SILENCE = VADUserStoppedSpeakingFrame(stop_secs=0.2)


class Thinking(Finished):
    """A model that takes until it is told to decide."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0
        self._decision: asyncio.Future[EndOfTurnState] | None = None

    async def analyze_end_of_turn(self) -> tuple[EndOfTurnState, None]:
        self.asked += 1
        self._decision = asyncio.get_running_loop().create_future()
        return await self._decision, None

    def decide(self) -> None:
        """The turn is complete."""
        if self._decision is not None and not self._decision.done():
            self._decision.set_result(EndOfTurnState.COMPLETE)


class Conversation:
    """One caller's frames, and how many turns have ended."""

    def __init__(self) -> None:
        self.model = Thinking()
        self.ended = 0

        async def nothing() -> None: ...

        stop = SmartTurnStop(
            turn_analyzer=self.model, wait_s=0.5, least_s=0.0, ask_for_words=nothing, end_speech=lambda: None
        )
        strategies = UserTurnStrategies(start=[FloorTurnStart(Rules(), Unpaused())], stop=[stop])
        self.controller = UserTurnController(user_turn_strategies=strategies, user_turn_stop_timeout=9)

    async def hear(self, *frames: Frame) -> None:
        async with asyncio.timeout(2):
            for frame in frames:
                await self.controller.process_frame(frame)

    async def on_end(self, *_: object) -> None:
        self.ended += 1


@asynccontextmanager
async def talking() -> AsyncIterator[Conversation]:
    talk = Conversation()
    await talk.controller.setup(FrameProcessorSetup(SystemClock(), TaskManager(), cast(Any, None)))
    talk.controller.add_event_handler("on_user_turn_stopped", talk.on_end)
    yield talk
    await talk.controller.cleanup()


def words(text: str) -> TranscriptionFrame:
    return TranscriptionFrame(text, "", "", finalized=True)


def partial(text: str) -> InterimTranscriptionFrame:
    return InterimTranscriptionFrame(text, "", "")


async def test_a_question_mark_ends_the_turn_while_the_model_still_thinks() -> None:
    async with talking() as talk:
        await talk.hear(SOUND, partial("What time"), SILENCE, words("What time is it?"))
        await until(lambda: talk.ended == 1, 2)
        talk.model.decide()
        await asyncio.sleep(0.05)
        assert (talk.model.asked, talk.ended) == (1, 1)


async def test_words_that_came_while_the_model_thought_are_the_turns_and_its_decision_ends_it() -> None:
    async with talking() as talk:
        await talk.hear(SOUND, partial("I need"), SILENCE, words("I need a table."))
        await asyncio.sleep(0.05)
        assert talk.ended == 0
        talk.model.decide()
        await until(lambda: talk.ended == 1, 2)


async def test_a_decision_about_a_pause_does_not_end_the_turn_of_a_caller_who_goes_on() -> None:
    async with talking() as talk:
        await talk.hear(SOUND, partial("I need"), SILENCE, words("I need a table."), SOUND)
        talk.model.decide()
        await asyncio.sleep(0.05)
        assert talk.ended == 0
        await talk.hear(partial("for two"), SILENCE, words("for two."))
        talk.model.decide()
        await until(lambda: talk.ended == 1, 2)
        assert talk.model.asked == 2


async def test_a_sound_while_the_turn_is_being_ended_does_not_stop_its_end() -> None:
    async with talking() as talk:
        is_ending = asyncio.Event()

        async def slowly(*_: object) -> None:
            is_ending.set()
            await asyncio.sleep(0.05)
            talk.ended += 1

        talk.controller.add_event_handler("on_user_turn_stopped", slowly)
        await talk.hear(SOUND, partial("I need"), SILENCE, words("I need a table."))
        talk.model.decide()
        async with asyncio.timeout(2):
            await is_ending.wait()
        await talk.hear(SOUND)
        await until(lambda: talk.ended == 2, 2)
