"""Typed texts that come while others are taken, and while the caller speaks."""

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest
from pipecat.frames.frames import Frame, InterruptionFrame, LLMMessagesAppendFrame, LLMRunFrame

from agent_runner.worker.pipeline import typed_turns
from agent_runner.worker.pipeline.typed_turns import TOGETHER_S, TypedTurns

FLUSH_S = 0.05


class Pipeline:
    """Notes the frames and turns."""

    def __init__(self, *, has_turn: bool = False) -> None:
        self.flush_s = FLUSH_S
        self.frames: list[Frame] = []
        self.turns: list[str] = []
        self.added: list[str] = []
        self.is_unprotected = asyncio.Event()
        self.is_unprotected.set()
        floor = SimpleNamespace(has_turn=has_turn)
        self.start = SimpleNamespace(floor=floor, unprotected=self.is_unprotected.wait)
        self.typed = TypedTurns(cast(Any, self), cast(Any, self), cast(Any, self.start), cast(Any, self))

    @property
    def questions(self) -> list[str]:
        return [str(frame.messages) for frame in self.frames if isinstance(frame, LLMMessagesAppendFrame)]

    def count(self, kind: type[Frame]) -> int:
        return sum(isinstance(frame, kind) for frame in self.frames)

    async def queue_frames(self, frames: list[Frame]) -> None:
        self.frames += frames

    async def flush_pipeline(self, _timeout: float) -> bool:
        await asyncio.sleep(self.flush_s)
        return True

    def user_typed(self, text: str) -> None:
        self.turns.append(text)

    def user_added(self) -> None:
        pass

    async def add(self, text: str) -> None:
        self.added.append(text)


async def test_texts_of_one_instant_are_one_turn_with_one_answer() -> None:
    pipeline = Pipeline()
    await asyncio.gather(*(pipeline.typed.take(text) for text in ("One.", "Two.", "Three.")))

    assert pipeline.turns == ["One.\nTwo.\nThree."]
    assert (pipeline.count(InterruptionFrame), pipeline.count(LLMRunFrame)) == (1, 1)
    assert len(pipeline.questions) == 1


async def test_texts_that_follow_each_other_at_once_are_one_turn_though_nothing_is_interrupted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 0.0
    monkeypatch.setattr(typed_turns, "time", SimpleNamespace(monotonic=lambda: now))
    pipeline, taking = Pipeline(), list[asyncio.Task[None]]()
    pipeline.flush_s = 0.0
    for text in ("One.", "Two.", "Three."):
        now += 0.9 * TOGETHER_S
        taking.append(asyncio.create_task(pipeline.typed.take(text)))
        await asyncio.sleep(2 * TOGETHER_S)
        assert pipeline.turns == [], "another text may follow"
        assert pipeline.frames == [], "a tool's result may be told once the agent is quiet"
    now += TOGETHER_S
    await asyncio.gather(*taking)

    assert pipeline.turns == ["One.\nTwo.\nThree."]
    assert pipeline.count(LLMRunFrame) == 1


async def test_texts_that_follow_one_typed_into_the_interruption_are_the_same_turn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 0.0
    monkeypatch.setattr(typed_turns, "time", SimpleNamespace(monotonic=lambda: now))
    pipeline = Pipeline()
    taking = [asyncio.create_task(pipeline.typed.take("One."))]
    await asyncio.sleep(0)
    now += TOGETHER_S
    while not pipeline.frames:  # noqa: ASYNC110 - the next text comes within the flush
        await asyncio.sleep(0)
    taking.append(asyncio.create_task(pipeline.typed.take("Two.")))
    await asyncio.sleep(2 * FLUSH_S)
    taking.append(asyncio.create_task(pipeline.typed.take("Three.")))
    await asyncio.sleep(0)
    now += TOGETHER_S
    await asyncio.gather(*taking)

    assert pipeline.turns == ["One.\nTwo.\nThree."]


async def test_a_text_after_the_last_was_taken_is_a_turn_of_its_own() -> None:
    pipeline = Pipeline()
    await pipeline.typed.take("One.")
    await pipeline.typed.take("Two.")

    assert pipeline.turns == ["One.", "Two."]
    assert [type(frame) for frame in pipeline.frames] == 2 * [InterruptionFrame, LLMMessagesAppendFrame, LLMRunFrame]


async def test_an_interruption_drops_the_request_and_keeps_the_text() -> None:
    pipeline = Pipeline()
    await pipeline.typed.take("One.")

    assert [frame.interruptible for frame in pipeline.frames[1:]] == [False, True]


async def test_texts_typed_into_a_protected_line_wait_for_its_end_and_are_one_turn() -> None:
    pipeline = Pipeline()
    pipeline.is_unprotected.clear()
    taking = [asyncio.create_task(pipeline.typed.take(text)) for text in ("One.", "Two.")]
    await asyncio.sleep(2 * FLUSH_S)
    assert (pipeline.frames, pipeline.turns) == ([], [])

    pipeline.is_unprotected.set()
    await asyncio.gather(*taking)
    assert pipeline.turns == ["One.\nTwo."]


async def test_text_of_a_caller_who_speaks_joins_the_spoken_turn() -> None:
    pipeline = Pipeline(has_turn=True)
    await pipeline.typed.take("B7K9.")

    assert (pipeline.added, pipeline.turns, pipeline.frames) == (["B7K9."], [], [])


async def test_a_caller_who_begins_to_speak_while_the_text_is_taken_is_not_answered_over() -> None:
    pipeline = Pipeline()
    taking = asyncio.create_task(pipeline.typed.take("B7K9."))
    await asyncio.sleep(FLUSH_S / 2)
    pipeline.start.floor.has_turn = True
    await taking

    assert (pipeline.added, pipeline.turns) == (["B7K9."], [])
    assert pipeline.count(LLMRunFrame) == 0
