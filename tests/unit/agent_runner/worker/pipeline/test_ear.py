"""Which turns the pipeline's frames become."""

import time
from collections.abc import Callable
from typing import Any

import pytest
from pipecat.frames.frames import (
    ErrorFrame,
    FunctionCallFromLLM,
    FunctionCallsStartedFrame,
    LLMFullResponseStartFrame,
    LLMTextFrame,
)
from pipecat.observers.base_observer import FramePushed
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor

from agent_runner.domain.due import Due
from agent_runner.domain.floor import Floor, Rules
from agent_runner.domain.front_end import FrontEndEffect, Shown
from agent_runner.domain.hearing import Hearing
from agent_runner.domain.quiet import Quiet
from agent_runner.link.messages import Turn
from agent_runner.worker.pipeline.ear import Ear
from agent_runner.worker.pipeline.shown import Showing


def listening(
    turns: list[Turn],
    due: Due | None = None,
    llm: FrameProcessor | None = None,
    show: Callable[[FrontEndEffect], None] = lambda _effect: None,
) -> Ear:
    parts: dict[str, Any] = {name: FrameProcessor() for name in ("stt", "llm", "tts", "output", "heard")}
    return Ear(
        **(parts | ({"llm": llm} if llm else {})),
        on_turn=turns.append,
        on_worked=lambda _provider: None,
        hearing=Hearing(4),
        quiet=Quiet(20, 60),
        shown=Showing(show),
        floor=lambda: Floor(Rules(), due=due or Due()),
    )


@pytest.mark.parametrize(
    ("text", "interrupted", "is_cancelled", "is_told_as"),
    [
        ("", False, True, ("", True)),  # the request's end overtook the interruption that cancelled it
        ("", True, True, ("", True)),
        ("", False, False, ("", False)),  # the answer failed
        ("It is noon.", False, True, ("It is noon.", False)),  # the next request, for a tool's result
    ],
)
async def test_an_answer_that_was_cancelled_before_its_first_word_was_interrupted(
    text: str, *, interrupted: bool, is_cancelled: bool, is_told_as: tuple[str, bool]
) -> None:
    turns: list[Turn] = []
    ear = listening(turns)
    ear.user_said("What time is it?")
    ear.agent_said(text, interrupted=interrupted, is_cancelled=is_cancelled)

    assert [(turn.heard_text, turn.interrupted) for turn in turns] == [is_told_as]


async def test_an_opening_line_that_the_voice_gave_up_counts_as_not_said() -> None:
    turns: list[Turn] = []
    ear = listening(turns)
    ear.talk.open_with("Hello there.")
    ear.agent_was_lost()
    ear.agent_was_lost()

    assert turns == [Turn(n=0, user_text="", heard_text="", interrupted=True, said="line")]


@pytest.mark.parametrize(
    ("waited_for", "told"),
    [
        (["a"], ["Let me see. It is noon."]),
        ([], ["Let me see.", "It is noon."]),  # no result is waited for when the tool ends the call
    ],
)
async def test_the_turn_stays_open_for_what_the_model_says_from_a_tool_s_result(
    waited_for: list[str], told: list[str]
) -> None:
    turns: list[Turn] = []
    llm = FrameProcessor()
    ear = listening(turns, Due().tools_began(time.monotonic(), waited_for), llm)
    call = FunctionCallsStartedFrame([FunctionCallFromLLM("look", "a", {}, None)])
    ear.user_said("What time is it?")
    for frame in (LLMTextFrame("Let me see."), call):
        await ear.on_push_frame(FramePushed(llm, llm, frame, FrameDirection.DOWNSTREAM, 0))
    ear.agent_said("Let me see.", interrupted=False)
    await ear.on_push_frame(FramePushed(llm, llm, LLMTextFrame("It is noon."), FrameDirection.DOWNSTREAM, 0))
    ear.agent_said("It is noon.", interrupted=False)

    assert [turn.heard_text for turn in turns] == told
    assert turns[0].user_text == "What time is it?"


async def test_an_answer_to_a_tool_s_result_that_has_nothing_to_say_ends_the_turn_and_the_thinking() -> None:
    turns: list[Turn] = []
    states: list[FrontEndEffect] = []
    llm = FrameProcessor()
    ear = listening(turns, llm=llm, show=states.append)
    call = FunctionCallsStartedFrame([FunctionCallFromLLM("look", "a", {}, None)])
    ear.user_said("What time is it?")
    ear.shown.turn_ended()
    for frame in (LLMFullResponseStartFrame(), call):
        await ear.on_push_frame(FramePushed(llm, llm, frame, FrameDirection.DOWNSTREAM, 0))
    ear.agent_said("", interrupted=False)
    assert (turns, states) == ([], [Shown("thinking")])

    await ear.on_push_frame(FramePushed(llm, llm, LLMFullResponseStartFrame(), FrameDirection.DOWNSTREAM, 0))
    ear.agent_said("", interrupted=False)

    assert [(turn.user_text, turn.heard_text, turn.interrupted) for turn in turns] == [("What time is it?", "", False)]
    assert states == [Shown("thinking"), Shown("listening")]


async def test_an_answer_without_words_to_another_question_leaves_the_agent_thinking_while_the_tool_runs() -> None:
    states: list[FrontEndEffect] = []
    llm = FrameProcessor()
    ear = listening([], Due().tools_began(time.monotonic(), ["a"]), llm, states.append)
    call = FunctionCallsStartedFrame([FunctionCallFromLLM("look", "a", {}, None)])
    for frame in (LLMFullResponseStartFrame(), call):
        await ear.on_push_frame(FramePushed(llm, llm, frame, FrameDirection.DOWNSTREAM, 0))
    ear.agent_said("", interrupted=False)
    ear.user_said("Hello?")
    await ear.on_push_frame(FramePushed(llm, llm, LLMFullResponseStartFrame(), FrameDirection.DOWNSTREAM, 0))
    ear.agent_said("", interrupted=False)

    assert states == [Shown("thinking")]


async def test_an_answer_to_a_tool_s_result_that_failed_leaves_the_turn_to_the_apology() -> None:
    turns: list[Turn] = []
    llm = FrameProcessor()
    ear = listening(turns, llm=llm)
    call = FunctionCallsStartedFrame([FunctionCallFromLLM("look", "a", {}, None)])
    ear.user_said("What time is it?")
    for frame in (LLMFullResponseStartFrame(), call, LLMFullResponseStartFrame(), ErrorFrame("EmptyAnswer")):
        await ear.on_push_frame(FramePushed(llm, llm, frame, FrameDirection.DOWNSTREAM, 0))
    ear.agent_said("", interrupted=False)
    assert turns == []
