"""Which captions LiveKit's clients get, and when; what a text stream looks like to them."""

import asyncio
from dataclasses import dataclass, field
from typing import Any

from agent_runner.domain.front_end import Caption
from agent_runner.worker.room.captions import Captions
from contracts.captions import FINAL, SEGMENT
from tests.support.waiting import until


@dataclass
class FakeStream:
    """A text stream of the agent's: what was written, and with which attributes it was opened and closed."""

    opened: dict[str, str]
    to: list[str] | None
    writes: list[str] = field(default_factory=list[str])
    closed: dict[str, str] | None = None
    fails: bool = False

    async def write(self, text: str) -> None:
        if self.fails:
            raise ConnectionError("no data channel")
        self.writes.append(text)

    async def aclose(self, *, attributes: dict[str, str] | None = None) -> None:
        self.closed = attributes or {}


class FakeParticipant:
    def __init__(self, identity: str) -> None:
        self.identity = identity
        self.track_publications: dict[str, Any] = {}
        self.streams: list[FakeStream] = []

    async def stream_text(
        self, *, attributes: dict[str, str], destination_identities: list[str] | None, **_: object
    ) -> FakeStream:
        self.streams.append(FakeStream(attributes, destination_identities))
        return self.streams[-1]


class FakeRoom:
    def __init__(self, *others: str) -> None:
        self.local_participant = FakeParticipant("agent")
        self.remote_participants = {identity: FakeParticipant(identity) for identity in others}
        self.is_up = True

    @property
    def streams(self) -> list[FakeStream]:
        return self.local_participant.streams

    def isconnected(self) -> bool:
        return self.is_up


def stage(*others: str) -> tuple[Captions, Any]:
    captions, room = Captions(lambda: "caller"), FakeRoom(*others)
    captions.joined(room)  # pyright: ignore[reportArgumentType]
    return captions, room


async def test_a_caption_begins_when_the_callers_media_is_up_and_has_all_words_so_far() -> None:
    captions, room = stage()
    captions.show(Caption("agent", 1, "Hello!"))
    captions.show(Caption("agent", 1, "Hello! How"))
    await asyncio.sleep(0.01)
    assert room.streams == []

    captions.ready()
    await until(lambda: len(room.streams) == 1)
    captions.show(Caption("agent", 1, "Hello! How are"))
    captions.show(Caption("agent", 1, "Hello! How are you?", is_final=True))

    await until(lambda: room.streams[0].closed is not None)
    assert room.streams[0].writes == ["Hello! How", " are you?"]
    assert (room.streams[0].opened[FINAL], room.streams[0].closed[FINAL]) == ("false", "true")


async def test_after_a_failure_the_next_version_is_a_stream_with_all_words() -> None:
    captions, room = stage("caller")
    captions.ready()
    captions.show(Caption("agent", 1, "Are you"))
    await until(lambda: bool(room.streams) and bool(room.streams[0].writes))
    room.streams[0].fails = True
    captions.show(Caption("agent", 1, "Are you still"))
    await asyncio.sleep(0.01)

    captions.show(Caption("agent", 1, "Are you still there?", is_final=True))

    await until(lambda: len(room.streams) == 2 and room.streams[1].closed is not None)
    assert room.streams[1].writes == ["Are you still there?"]
    assert room.streams[1].opened[SEGMENT] == room.streams[0].opened[SEGMENT]


async def test_at_the_end_the_open_caption_is_completed_once() -> None:
    captions, room = stage("caller")
    captions.ready()
    captions.show(Caption("agent", 1, "Good"))
    await until(lambda: bool(room.streams) and bool(room.streams[0].writes))
    captions.show(Caption("agent", 1, "Goodbye."))

    assert await captions.finish()
    assert (room.streams[0].writes, room.streams[0].closed[FINAL]) == (["Good", "bye."], "true")
    captions.show(Caption("agent", 1, "Goodbye.", is_final=True))
    await captions.finish()
    assert len(room.streams) == 1


async def test_a_room_that_takes_no_data_delays_the_end_by_a_moment() -> None:
    captions, room = stage("caller")
    captions.ready()
    captions.show(Caption("agent", 1, "Goodbye."))
    await until(lambda: bool(room.streams) and bool(room.streams[0].writes))
    never = asyncio.Event()
    room.streams[0].aclose = lambda **_: never.wait()

    async with asyncio.timeout(1):
        await captions.finish()


async def test_nothing_is_sent_at_the_end_of_a_call_whose_caller_never_came() -> None:
    captions, room = stage()
    captions.show(Caption("agent", 1, "Hello!"))
    assert not await captions.finish()
    assert room.streams == []


async def test_a_client_that_joins_within_a_caption_gets_it_whole_at_its_end() -> None:
    captions, room = stage("caller", "listener")
    captions.ready()
    captions.show(Caption("agent", 1, "One"))
    await until(lambda: bool(room.streams) and bool(room.streams[0].writes))
    room.remote_participants["supervisor"] = FakeParticipant("supervisor")
    captions.left("caller")  # its connection broke, and it is back

    captions.show(Caption("agent", 1, "One two.", is_final=True))

    await until(lambda: len(room.streams) == 2 and room.streams[1].closed is not None)
    assert (room.streams[0].to, room.streams[0].writes) == (None, ["One", " two."])
    assert (room.streams[1].to, room.streams[1].writes) == (["caller", "supervisor"], ["One two."])
    assert room.streams[1].opened == room.streams[0].closed


async def test_a_caller_whom_livekit_reports_late_gets_a_caption_once() -> None:
    captions, room = stage()
    captions.ready()
    captions.show(Caption("agent", 1, "One"))
    await until(lambda: bool(room.streams) and bool(room.streams[0].writes))
    room.remote_participants["caller"] = FakeParticipant("caller")

    captions.show(Caption("agent", 1, "One two.", is_final=True))

    await until(lambda: room.streams[0].closed is not None)
    await asyncio.sleep(0.01)
    assert len(room.streams) == 1


async def test_in_another_room_an_open_caption_goes_on_as_a_stream_with_all_words() -> None:
    captions, room = stage("caller")
    captions.ready()
    captions.show(Caption("agent", 1, "One"))
    await until(lambda: bool(room.streams) and bool(room.streams[0].writes))

    captions.not_ready()
    captions.show(Caption("agent", 1, "One two"))
    other: Any = FakeRoom("caller")
    captions.joined(other)
    await asyncio.sleep(0.01)
    assert other.streams == []
    captions.ready()

    await until(lambda: bool(other.streams) and bool(other.streams[0].writes))
    assert (room.streams[0].writes, other.streams[0].writes) == (["One"], ["One two"])


async def test_a_caption_whose_end_was_lost_is_closed_before_the_next_begins() -> None:
    captions, room = stage("caller")
    captions.ready()
    captions.show(Caption("agent", 1, "One"))
    await until(lambda: bool(room.streams) and bool(room.streams[0].writes))
    captions.show(Caption("caller", 2, "Hm", is_final=True))
    captions.show(Caption("agent", 3, "Two", is_final=True))

    await until(lambda: len(room.streams) == 3 and room.streams[2].closed is not None)
    assert [stream.writes for stream in room.streams] == [["One"], ["Hm"], ["Two"]]
    assert room.streams[0].closed is not None


async def test_a_room_that_takes_no_data_loses_captions_and_memory_stays_bounded() -> None:
    captions, room = stage("caller")
    for n in range(1, 1001):
        captions.show(Caption("agent", n, "word", is_final=True))

    captions.ready()

    await until(lambda: len(room.streams) >= 200)
    await asyncio.sleep(0.01)
    assert len(room.streams) == 200
