"""Replays: in order from a position, through restarts, complete."""

import asyncio
from datetime import UTC, datetime

from chassis.nats import Bus, Replay, Stored
from contracts.streams import STREAMS
from tests.integration.chassis.events import requested, tick
from tests.support.servers import NatsServer
from tests.support.waiting import until


class Reader:
    """Reads a replay in the background."""

    def __init__(self, replay: Replay) -> None:
        self.replay = replay
        self.seqs: list[int] = []
        self.task = asyncio.create_task(self._read())

    async def _read(self) -> None:
        async for message in self.replay:
            self.seqs.append(message.seq)

    async def stop(self) -> None:
        self.task.cancel()
        await asyncio.wait({self.task})


async def read(replay: Replay) -> list[Stored]:
    return [message async for message in replay]


async def test_it_reads_what_is_there_and_says_when_it_has_caught_up(bus: Bus) -> None:
    for n in range(700):  # several batches
        await bus.publish(tick(served_ms=n))
    reader = Reader(bus.replay("voice.v1.session.>"))

    async with asyncio.timeout(5):
        await reader.replay.caught_up.wait()

    assert reader.seqs == list(range(1, 701))
    assert reader.replay.position == 700
    await bus.publish(tick(served_ms=700))
    await until(lambda: reader.seqs[-1] == 701, 1)
    await reader.stop()


async def test_an_empty_log_is_caught_up_at_once(bus: Bus) -> None:
    assert await read(bus.replay("voice.v1.session.>", until_caught_up=True)) == []


async def test_it_begins_at_a_sequence_or_a_time(bus: Bus) -> None:
    await bus.publish(tick(served_ms=0))
    await asyncio.sleep(0.05)
    between = datetime.now(UTC)
    await bus.publish(tick(served_ms=1))
    await bus.publish(requested())

    async def seqs(replay: Replay) -> list[int]:
        return [message.seq for message in await read(replay)]

    assert await seqs(bus.replay("voice.v1.session.>", since=2, until_caught_up=True)) == [2, 3]
    assert await seqs(bus.replay("voice.v1.session.>", since=between, until_caught_up=True)) == [2, 3]
    assert await seqs(bus.replay(["voice.v1.session.requested.*"], since=1, until_caught_up=True)) == [3]
    assert await seqs(bus.replay("voice.v1.session.>", since=4, until_caught_up=True)) == []


async def test_it_goes_on_after_restarts_without_a_gap_or_a_repetition(bus: Bus, nats_server: NatsServer) -> None:
    reader = Reader(bus.replay("voice.v1.session.>"))
    for round_ in range(3):
        for n in range(20):
            await bus.publish(tick(served_ms=round_ * 20 + n))
        if round_ < 2:
            nats_server.restart()

    await until(lambda: len(reader.seqs) >= 60)

    assert reader.seqs == list(range(1, 61))
    await reader.stop()


async def test_it_finds_what_its_lost_consumer_would_have_given(bus: Bus) -> None:
    reader = Reader(bus.replay("voice.v1.session.>"))
    await bus.publish(tick(served_ms=0))
    await until(lambda: reader.seqs == [1])

    for info in await bus.js.consumers_info("SESSIONS"):
        await bus.js.delete_consumer("SESSIONS", info.name)
    await bus.publish(tick(served_ms=1))

    await until(lambda: reader.seqs == [1, 2])
    await reader.stop()


async def test_what_was_delivered_into_the_void_is_read_again(bus: Bus) -> None:
    reader = Reader(bus.replay("voice.v1.session.>"))
    await bus.publish(tick(served_ms=0))
    await until(lambda: reader.seqs == [1])
    # Another client's fetch stands for an answer that was lost with a connection: the server counts it as delivered.
    (info,) = await bus.js.consumers_info("SESSIONS")
    thief = await bus.js.pull_subscribe_bind(info.name, "SESSIONS")
    stealing = asyncio.create_task(thief.fetch(1, timeout=5))
    await asyncio.sleep(0.2)
    await bus.publish(tick(served_ms=1))  # the requests take turns, and ours is the older one
    await bus.publish(tick(served_ms=2))
    (stolen,) = await stealing
    assert stolen.metadata.sequence.stream == 3

    await until(lambda: reader.seqs == [1, 2, 3])
    await reader.stop()


async def test_a_log_that_was_made_anew_is_read_from_its_start(bus: Bus) -> None:
    for n in range(5):
        await bus.publish(tick(served_ms=n))
    reader = Reader(bus.replay("voice.v1.session.>"))
    await until(lambda: len(reader.seqs) == 5)

    await bus.js.delete_stream("SESSIONS")
    await bus.ensure(STREAMS)
    await bus.publish(tick("session_2"))

    await until(lambda: reader.seqs[5:] == [1])
    await reader.stop()


async def test_breaking_off_is_fine(bus: Bus) -> None:
    await bus.publish(tick(served_ms=0))
    await bus.publish(tick(served_ms=1))
    replay = bus.replay("voice.v1.session.>")
    async for message in replay:
        assert message.seq == 1
        break
    assert replay.position == 0  # it did not come back for the next
    assert not replay.caught_up.is_set()


async def test_a_reader_leaves_no_consumer_behind(bus: Bus) -> None:
    await bus.publish(tick(served_ms=0))
    for turns in range(60):  # of the event loop: some are stopped while NATS makes their consumer
        reader = Reader(bus.replay("voice.v1.session.>"))
        for _ in range(turns):
            await asyncio.sleep(0)
        await reader.stop()

    async def left() -> bool:
        return (await bus.js.stream_info("SESSIONS")).state.consumer_count == 0

    await until(left, 5)


async def test_a_reader_asks_once_for_many_messages(bus: Bus) -> None:
    reader = Reader(bus.replay("voice.v1.session.>"))
    await until(lambda: reader.replay.caught_up.is_set())
    before = bus.nc.stats["out_msgs"]

    for n in range(50):
        await bus.publish(tick(served_ms=n))
        await until(lambda n=n: len(reader.seqs) == n + 1, 5)

    assert bus.nc.stats["out_msgs"] - before < 60  # the fifty, and hardly a request for them
    await reader.stop()


async def test_what_is_not_wanted_is_passed_over(bus: Bus) -> None:
    reader = Reader(bus.replay("voice.v1.session.>", wants=lambda subject: subject.endswith(".session_2")))
    await bus.publish(tick("session_1"))
    await bus.publish(tick("session_2"))
    await bus.publish(tick("session_1", served_ms=1))

    await until(lambda: reader.replay.position == 3)

    assert reader.seqs == [2]
    await reader.stop()
