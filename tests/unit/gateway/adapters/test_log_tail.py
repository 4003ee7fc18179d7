"""The tail of the log: nothing is missed between the log that is read and what comes, whatever happens to either."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from typing import Any, cast

import pytest

from chassis.nats import Bus, BusUnavailable, Stored, StreamUse
from contracts.events import AgentReady, Event, SessionEnded
from gateway.adapters import nats_log_tail as log_tail
from gateway.adapters.nats_log_tail import LogTail
from gateway.domain.logged import FellBehind
from tests.support.events import NOW, SESSION, ended, ready, requested, turn
from tests.support.waiting import until

OTHER = "session_2_b"


class FakeBus:
    """One stream in memory; `stored` tells it to the tail, `stored_unseen` leaves it to the log."""

    url = "nats://fake"

    def __init__(self) -> None:
        self.closed = asyncio.Event()
        self.log: list[Stored] = []
        self.histories = 0
        self.away = 0
        self.ends = False
        self._tail: asyncio.Queue[Stored | None] = asyncio.Queue()

    def stored(self, *events: Event, seq: int | None = None) -> None:
        for event in events:
            self._tail.put_nowait(self.stored_unseen(event, seq=seq))

    def stored_unseen(self, event: Event, *, seq: int | None = None) -> Stored:
        at = seq or len(self.log) + 1
        self.log.append(Stored(event.subject, event, b"", at, 0))
        return self.log[-1]

    def lose_store(self) -> None:
        self.log.clear()

    def break_off(self) -> None:
        self._tail.put_nowait(None)

    async def use_of(self, _spec: object) -> StreamUse:
        return StreamUse(
            max_age_s=0,
            name="SESSIONS",
            at=NOW,
            bytes=0,
            max_bytes=0,
            messages=len(self.log),
            created=NOW,
            first_seq=1,
            first_at=NOW,
            last_seq=len(self.log),
            consumers=0,
        )

    async def history(self, session_id: str) -> list[Stored]:
        self.histories += 1
        if self.away:
            self.away -= 1
            raise BusUnavailable("reading", self.url)
        return [s for s in self.log if isinstance(s.event, Event) and s.event.session_id == session_id]

    def replay(self, _filters: Sequence[str], *, since: int) -> AsyncIterator[Stored]:
        return self._read()

    async def _read(self) -> AsyncIterator[Stored]:
        while (stored := await self._tail.get()) is not None:
            yield stored


@pytest.fixture
async def bus() -> FakeBus:
    return FakeBus()


@pytest.fixture
async def tail(bus: FakeBus) -> AsyncIterator[LogTail]:
    tail = LogTail(cast(Bus, bus))
    running = asyncio.create_task(tail.run())
    await asyncio.sleep(0)
    yield tail
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running


async def told(tail: LogTail, count: int, session_id: str = SESSION, **how: Any) -> list[Event]:
    how = {"since": None, "past": True} | how
    async with asyncio.timeout(5), tail.follow(session_id, AgentReady, SessionEnded, **how) as events:
        return [await anext(events) for _ in range(count)]


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def test_what_came_since_the_request_is_told_without_reading_the_log(bus: FakeBus, tail: LogTail) -> None:
    bus.stored(ready(), ready(session_id=OTHER), ended())
    await settle()

    found = await told(tail, 2, since=0)

    assert [type(event) for event in found] == [AgentReady, SessionEnded]
    assert bus.histories == 0


async def test_what_is_older_than_the_tail_is_read_from_the_log(bus: FakeBus) -> None:
    bus.stored_unseen(ready())
    tail = LogTail(cast(Bus, bus))
    running = asyncio.create_task(tail.run())
    await settle()
    bus.stored(ended())
    await settle()

    assert [type(event) for event in await told(tail, 2, since=0)] == [AgentReady, SessionEnded]
    assert [type(event) for event in await told(tail, 2)] == [AgentReady, SessionEnded]
    running.cancel()


async def test_what_comes_while_the_log_is_read_is_told_once(bus: FakeBus, tail: LogTail) -> None:
    bus.away = 1  # the first reading fails, and is repeated after a moment
    following = asyncio.create_task(told(tail, 2))
    await settle()

    bus.stored(ready(), ended())

    assert [type(event) for event in await following] == [AgentReady, SessionEnded]
    assert bus.histories == 2


async def test_a_follower_without_a_past_is_told_what_comes(bus: FakeBus, tail: LogTail) -> None:
    bus.stored(ready())
    await settle()
    following = asyncio.create_task(told(tail, 1, past=False))
    await settle()

    bus.stored(ended())

    assert [type(event) for event in await following] == [SessionEnded]
    assert bus.histories == 0


async def test_a_follower_that_is_slow_reads_the_log(
    bus: FakeBus, tail: LogTail, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_tail, "_QUEUED", 3)
    async with tail.follow(SESSION, AgentReady, SessionEnded, since=None, past=False) as events:
        bus.stored(*(ready(epoch) for epoch in range(1, 6)), ended())
        await settle()

        found = [await anext(events) for _ in range(6)]

    assert [getattr(event, "epoch", None) for event in found[:5]] == [1, 2, 3, 4, 5]
    assert bus.histories == 1


async def test_a_stream_that_was_made_again_is_read_from_its_beginning(bus: FakeBus, tail: LogTail) -> None:
    bus.stored(*(ready(epoch, session_id=OTHER) for epoch in range(1, 4)))
    await settle()
    following = asyncio.create_task(told(tail, 1, past=False))
    await settle()

    bus.lose_store()
    bus.stored(ended())

    assert [type(event) for event in await following] == [SessionEnded]


async def test_only_so_much_is_kept(bus: FakeBus, tail: LogTail, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_tail, "_KEPT", 3)
    bus.stored(ready(), *(ready(epoch, session_id=OTHER) for epoch in range(1, 4)))
    await settle()

    assert len(await told(tail, 1, since=0)) == 1
    assert bus.histories == 1
    assert len(await told(tail, 3, OTHER, since=1)) == 3
    assert bus.histories == 1


async def test_the_end_of_the_tail_is_told(bus: FakeBus, tail: LogTail) -> None:
    following = asyncio.create_task(told(tail, 1, past=False))
    await settle()

    bus.break_off()

    with pytest.raises(BusUnavailable):
        await following


async def test_a_watch_of_all_begins_with_what_is_kept_and_gets_each_message_once(bus: FakeBus, tail: LogTail) -> None:
    bus.stored(requested(), ready())
    await until(lambda: len(tail._kept) == 2)
    async with tail.watch() as watch:
        first = await watch.next()
        bus.stored(requested(OTHER), ended())
        await until(lambda: len(tail._kept) == 4)
        second = await watch.next()

    assert [stored.seq for stored in (*first, *second)] == [1, 2, 3, 4]
    assert not tail._followers


async def test_a_watch_of_one_session_tells_only_what_comes_for_it(bus: FakeBus, tail: LogTail) -> None:
    bus.stored(requested())
    await until(lambda: len(tail._kept) == 1)
    async with tail.watch(SESSION) as watch:
        assert await watch.next() == []
        bus.stored(ready(session_id=OTHER), ready())
        found = await watch.next()

    assert [stored.seq for stored in found] == [3]


async def test_a_watch_that_overflows_falls_behind_and_holds_nothing(
    bus: FakeBus, tail: LogTail, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_tail, "_QUEUED", 2)
    async with tail.watch(SESSION) as watch:
        bus.stored(*(turn(n=n) for n in range(3)))
        await until(lambda: len(tail._kept) == 3)
        with pytest.raises(FellBehind):
            await watch.next()

    assert not watch._queue


@pytest.mark.parametrize("what", ["reset", "stop"])
async def test_a_watch_ends_when_the_log_is_created_again_and_when_the_tail_stops(
    bus: FakeBus, tail: LogTail, what: str
) -> None:
    async with tail.watch(SESSION) as watch:
        bus.stored(requested(), ready())
        await until(lambda: len(tail._kept) == 2)
        await watch.next()
        if what == "reset":
            bus.stored(requested(), seq=1)
        else:
            bus.break_off()
        with pytest.raises(FellBehind):
            await watch.next()
