"""What the scheduler's `Stores` promises, by its fake and by NATS."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import pytest

from chassis.nats import Bus
from contracts.streams import BILLINGS_POSITION, BUCKETS, SESSIONS, STREAMS
from contracts.subjects import session_event
from scheduler.adapters.nats_session_log import NatsSessionLog
from scheduler.adapters.nats_stores import NatsStores
from scheduler.domain.log_room import BillingPosition
from scheduler.ports import Stores
from tests.support.events import requested
from tests.support.scheduler.fakes import FakeStores


@dataclass
class Streams:
    """The port; a write of one message to the log, and billing's report of how far it has read."""

    port: Stores
    write: Callable[[str], Awaitable[int]]
    read_to: Callable[[int], Awaitable[None]]


@pytest.fixture
def fake() -> Streams:
    stores = FakeStores()

    async def write(_session_id: str) -> int:
        return stores.write()

    async def read_to(seq: int) -> None:
        stores.read_to(seq)

    return Streams(stores, write, read_to)


@pytest.fixture
def nats(bus: Bus) -> Streams:
    log = NatsSessionLog(bus)
    filters = [session_event("requested", "*")]

    async def write(session_id: str) -> int:
        return (await log.append(requested(session_id), expect_last=0)).seq

    async def read_to(seq: int) -> None:
        await bus.show_position(SESSIONS, BILLINGS_POSITION, filters, seq, may_go_back=False)

    return Streams(NatsStores(bus), write, read_to)


@pytest.fixture(params=["fake", "nats"])
def streams(request: pytest.FixtureRequest) -> Streams:
    return request.getfixturevalue(request.param)


async def test_billings_position_moves_and_has_what_waits_behind_it(streams: Streams) -> None:
    assert await streams.port.billing() is None
    for n in range(2):
        await streams.write(f"session_{n}")
    await streams.read_to(1)
    assert await streams.port.billing() == BillingPosition(read_seq=1, waiting=1)
    last = await streams.write("session_2")
    assert await streams.port.billing() == BillingPosition(read_seq=1, waiting=2)
    await streams.read_to(last)
    assert await streams.port.billing() == BillingPosition(read_seq=3, waiting=0)


async def test_the_use_of_the_log_counts_what_was_written(streams: Streams) -> None:
    for n in range(2):
        await streams.write(f"session_{n}")
    uses = {use.name: use for use in await streams.port.uses()}
    log = uses[SESSIONS.name]
    assert (log.messages, log.first_seq, log.last_seq) == (2, 1, 2)
    assert log.bytes
    assert log.oldest_s
    assert uses.keys() <= {spec.name for spec in STREAMS} | {f"KV_{spec.name}" for spec in BUCKETS}
