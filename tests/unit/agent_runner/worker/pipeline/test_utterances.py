"""Which words each turn gets when utterances follow each other at once, from the voice to the context."""

from typing import Any

import pytest
from pipecat.frames.frames import (
    EndFrame,
    Frame,
    LLMFullResponseEndFrame,
    LLMFullResponseStartFrame,
    LLMTextFrame,
    TTSSpeakFrame,
)
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.aggregators.llm_response_universal import LLMAssistantAggregator
from pipecat.processors.frame_processor import FrameProcessor
from pipecat.workers.runner import WorkerRunner

from agent_runner.domain.floor import Floor, Rules
from agent_runner.domain.front_end import Caption, FrontEndEffect
from agent_runner.domain.hearing import Hearing
from agent_runner.domain.quiet import Quiet
from agent_runner.link.messages import Turn
from agent_runner.worker.pipeline.ear import Ear
from agent_runner.worker.pipeline.heard_words import HeardWords
from agent_runner.worker.pipeline.shown import Showing
from agent_runner.worker.room.speech_clock import SpeechClock
from tests.support.agent_runner.spoken import RATE, room, voice


class Call:
    """A pipeline from the voice to the context."""

    def __init__(self) -> None:
        self.turns: list[Turn] = []
        self.captions: dict[int, str] = {}
        clock = SpeechClock()
        clock.run()
        self.tts = voice()
        self.context = LLMContext()
        output = room()
        heard = HeardWords(clock, lambda _text: None, lambda: None, _nothing)
        self.ear = Ear(
            stt=FrameProcessor(),
            llm=FrameProcessor(),
            tts=self.tts,
            output=output,
            heard=heard,
            on_turn=self.turns.append,
            on_worked=lambda _provider: None,
            hearing=Hearing(4),
            quiet=Quiet(20, 60),
            shown=Showing(self._show),
            floor=lambda: Floor(Rules()),
        )
        assistant = LLMAssistantAggregator(self.context)

        @assistant.event_handler("on_assistant_turn_stopped")
        async def _(_assistant: object, message: Any) -> None:
            self.ear.agent_said(message.content, interrupted=message.interrupted)

        self.worker = PipelineWorker(
            Pipeline([self.tts, output, heard, assistant]),
            params=PipelineParams(audio_out_sample_rate=RATE),
            observers=[self.ear],
            clock=clock,
            enable_rtvi=False,
            enable_turn_tracking=False,
            idle_timeout_secs=None,
        )

    def _show(self, effect: FrontEndEffect) -> None:
        if isinstance(effect, Caption):
            self.captions[effect.segment] = effect.text

    async def says(self, *frames: Frame) -> list[tuple[str, str]]:
        """The turns that these frames become, up to the end of the call."""
        runner = WorkerRunner(handle_sigint=False)
        await runner.add_workers(self.worker)
        await self.worker.queue_frames([*frames, EndFrame()])
        await runner.run()
        self.ear.call_ended()
        return [(turn.user_text, turn.heard_text) for turn in self.turns]


async def _nothing(_frame: Frame) -> None:
    """Take an answer's start or end."""


def line(text: str) -> list[Frame]:
    return [TTSSpeakFrame(text)]


def answer(text: str) -> list[Frame]:
    return [LLMFullResponseStartFrame(), LLMTextFrame(text), LLMFullResponseEndFrame()]


@pytest.mark.parametrize(
    "utterances",
    [
        (line("Sorry, where were we?"), answer("It is noon.")),
        (answer("It is noon."), line("Our time is almost up.")),
        (line("Are you still there?"), line("Our time is almost up.")),
        (answer("It is."), answer("It is noon.")),
        (answer("It is noon."), line("Sorry?"), answer("It is noon.")),
        (answer("您好，我是小明。"), line("はい、どうぞ。"), answer("It is noon.")),
    ],
)
async def test_each_utterance_is_a_turn_and_a_caption_with_its_own_words(utterances: tuple[list[Frame], ...]) -> None:
    call = Call()
    said = await call.says(*(frame for frames in utterances for frame in frames))
    expected = [next(f.text for f in frames if isinstance(f, TTSSpeakFrame | LLMTextFrame)) for frames in utterances]
    assert [words for _, words in said] == expected
    assert list(call.captions.values()) == expected
    messages: list[Any] = call.context.get_messages()
    assert [m["content"] for m in messages] == expected


async def test_a_line_and_a_filler_before_the_answer_leave_the_question_to_the_answer() -> None:
    call = Call()
    call.ear.user_said("What time is it?")
    filler = TTSSpeakFrame("One moment, please.", append_to_context=False)
    said = await call.says(*line("Our time is almost up."), filler, *answer("It is noon."))
    assert said == [("", "Our time is almost up."), ("What time is it?", "It is noon.")]
    assert [turn.n for turn in call.turns] == [2, 1]


async def test_the_goodbye_with_which_the_model_ends_the_call_is_its_answer() -> None:
    call = Call()
    call.ear.user_said("That is all.")
    call.ear.ends.lines_answer = True
    assert await call.says(*line("Goodbye then.")) == [("That is all.", "Goodbye then.")]


async def test_the_opening_line_is_whole_and_leaves_no_word_to_the_next_turn() -> None:
    call = Call()
    call.ear.talk.open_with("Hello there, my friend.")
    said = await call.says(TTSSpeakFrame("Hello there, my friend.", append_to_context=False), *answer("It is noon."))
    assert said == [("", "Hello there, my friend."), ("", "It is noon.")]


async def test_no_turn_follows_an_opening_line_at_the_end_of_the_call() -> None:
    call = Call()
    call.ear.talk.open_with("Hello.")
    assert await call.says(TTSSpeakFrame("Hello.", append_to_context=False)) == [("", "Hello.")]


async def test_an_answer_without_spaces_that_the_end_of_the_call_cuts_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    call = Call()
    call.ear.user_said("您是谁？")
    monkeypatch.setattr(call.ear, "agent_said", lambda *_, **__: None)  # the end comes before the answer's
    assert await call.says(*answer("您好，我是小明。")) == [("您是谁？", "您好，我是小明。")]
