"""What is sent to the caller's client, and when."""

import asyncio
from dataclasses import dataclass, field
from typing import Any

import pytest
import structlog

from agent_runner.domain.front_end import Caption, Shown
from agent_runner.worker.room import front_end
from agent_runner.worker.room.front_end import STATE, FrontEndLink
from tests.support.waiting import until


@dataclass
class FakeParticipant:
    """The agent, and the text streams that it has written."""

    identity: str = "agent"
    texts: list[str] = field(default_factory=list[str])
    attributes: dict[str, str] = field(default_factory=dict[str, str])
    track_publications: dict[str, Any] = field(default_factory=dict[str, Any])
    unanswered: int = 0  # of the next attributes, so many get no answer

    async def set_attributes(self, attributes: dict[str, str]) -> None:
        if self.unanswered:
            self.unanswered -= 1
            await asyncio.Event().wait()
        self.attributes |= attributes

    async def stream_text(self, **_: object) -> "FakeParticipant":
        self.texts.append("")
        return self

    async def write(self, text: str) -> None:
        self.texts[-1] += text

    async def aclose(self, **_: object) -> None:
        self.texts[-1] += "|"


class FakeRoom:
    def __init__(self) -> None:
        self.local_participant = FakeParticipant()
        self.remote_participants: dict[str, object] = {}

    def isconnected(self) -> bool:
        return True


async def test_what_is_shown_before_the_room_is_joined_is_sent_after_the_join_and_of_states_the_newest() -> None:
    link = FrontEndLink(lambda: "caller", lambda _: None, shows=True, longest=0)
    room: Any = FakeRoom()
    link.show(Shown("listening"))
    link.show(Shown("speaking"))
    link.show(Caption("agent", 1, "Hello!"))
    link.captions.ready()
    await asyncio.sleep(0)
    assert room.local_participant.texts == []

    link.joined(room)
    link.show(Caption("agent", 1, "Hello! Welcome."))
    link.show(Caption("agent", 1, "Hello! Welcome.", is_final=True))

    await until(lambda: room.local_participant.texts == ["Hello! Welcome.|"])
    assert room.local_participant.attributes == {STATE: "speaking"}


async def test_a_successors_captions_wait_until_its_predecessors_departure_is_known(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(front_end, "_DEPARTURE_S", 0.05)
    link = FrontEndLink(lambda: "caller", lambda _: None, shows=True, longest=0)
    link.succeeds = True
    room: Any = FakeRoom()
    link.joined(room)
    link.captions.ready()
    link.show(Caption("agent", 1, "Please go on.", is_final=True))
    await until(lambda: bool(room.local_participant.attributes))
    await asyncio.sleep(0.01)
    assert room.local_participant.texts == []
    await until(lambda: room.local_participant.texts == ["Please go on.|"])


async def test_captions_that_are_switched_off_are_not_sent() -> None:
    link = FrontEndLink(lambda: "caller", lambda _: None, shows=False, longest=0)
    room: Any = FakeRoom()
    link.show(Caption("agent", 1, "Hello!", is_final=True))
    link.joined(room)
    link.captions.ready()
    link.show(Caption("agent", 2, "Well.", is_final=True))
    link.show(Shown("listening"))

    await until(lambda: room.local_participant.attributes == {STATE: "listening"})
    assert room.local_participant.texts == []


async def test_a_state_without_an_answer_is_sent_again_and_leaves_the_captions_alone() -> None:
    link = FrontEndLink(lambda: "caller", lambda _: None, shows=True, longest=0)
    room: Any = FakeRoom()
    link.joined(room)
    link.captions.ready()
    link.show(Caption("agent", 1, "Are you still there?"))
    await until(lambda: room.local_participant.texts == ["Are you still there?"])
    await until(lambda: room.local_participant.attributes == {STATE: "initializing"})

    room.local_participant.unanswered = 1
    link.show(Shown("listening"))
    await asyncio.sleep(0)
    link.show(Caption("agent", 1, "Are you still there?", is_final=True))

    await until(lambda: room.local_participant.texts == ["Are you still there?|"])
    assert room.local_participant.attributes == {STATE: "initializing"}
    await until(lambda: room.local_participant.attributes == {STATE: "listening"})


class BrokenReader:
    """A text stream whose reading fails in a way that is not LiveKit's."""

    def __aiter__(self) -> "BrokenReader":
        return self

    async def __anext__(self) -> str:
        raise ValueError("not a chunk")

    def close(self) -> None: ...


async def test_a_text_that_cannot_be_read_leaves_its_error_in_the_log() -> None:
    link = FrontEndLink(lambda: "caller", lambda _: None, shows=True, longest=100)
    reader: Any = BrokenReader()

    with structlog.testing.capture_logs() as lines:
        link._on_stream(reader, "caller")
        await until(lambda: bool(lines))

    assert [(line["event"], str(line["exc_info"])) for line in lines] == [("task.failed", "not a chunk")]
