"""Which turns the pipeline's frames become."""

from typing import Any

import pytest
from pipecat.processors.frame_processor import FrameProcessor

from agent_runner.domain.floor import Floor, Rules
from agent_runner.domain.hearing import Hearing
from agent_runner.domain.quiet import Quiet
from agent_runner.link.messages import Turn
from agent_runner.worker.pipeline.ear import Ear
from agent_runner.worker.pipeline.shown import Showing


def listening(turns: list[Turn]) -> Ear:
    parts: dict[str, Any] = {name: FrameProcessor() for name in ("stt", "llm", "tts", "output", "heard")}
    return Ear(
        **parts,
        on_turn=turns.append,
        on_worked=lambda _provider: None,
        hearing=Hearing(4),
        quiet=Quiet(20, 60),
        shown=Showing(lambda _effect: None),
        floor=lambda: Floor(Rules()),
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

    assert turns == [Turn(n=0, user_text="", heard_text="", interrupted=True)]
