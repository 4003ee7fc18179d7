"""What the gateway's ports on NATS promise, by their fakes and by the real streams and buckets."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta

import pytest

from chassis.nats import Bus
from contracts.errors import Refused
from contracts.events import Event, JobAssigned, SessionEnded, SessionRequested
from contracts.registry import QUEUE_KEY, IdempotentStart, Leader, PrejoinedRoom, QueueState, Slot
from contracts.streams import LEADERS, NODES, PREJOINED, QUEUE, SLOTS
from gateway.adapters.nats_idempotency import NatsIdempotencyKeys
from gateway.adapters.nats_prejoined_rooms import NatsPrejoinedRooms
from gateway.adapters.nats_registry import NatsRegistry
from gateway.adapters.nats_seats import NatsSeats
from gateway.adapters.nats_session_log import NatsSessionLog
from gateway.adapters.nats_start_queue import NatsStartQueue
from gateway.adapters.nats_words import NatsWords
from gateway.domain.logged import TailReader
from gateway.ports import (
    IdempotencyKeys,
    LogReader,
    NatsUnavailable,
    PrejoinedRooms,
    Registry,
    Seats,
    SessionIdTaken,
    SessionLog,
    StartQueue,
    Words,
)
from tests.support.events import NOW, SESSION, assigned, ended, ready, requested, tick
from tests.support.gateway.fakes import (
    FakeKeys,
    FakeLog,
    FakePrejoinedRooms,
    FakeQueue,
    FakeRegistry,
    FakeSeats,
    FakeWords,
)
from tests.support.scheduler.builders import node
from tests.support.servers import NatsServer
from tests.support.waiting import until

OTHER = "session_other"


@dataclass
class Stores:
    """The ports, what the scheduler and the nodes write, and the loss of NATS."""

    log: SessionLog
    reader: LogReader
    keys: IdempotencyKeys
    seats: Seats
    registry: Registry
    prejoined: PrejoinedRooms
    words: Words
    queue: StartQueue
    report: Callable[[QueueState], Awaitable[None]]
    offer: Callable[[str, str], Awaitable[None]]
    occupy: Callable[[], Awaitable[None]]
    go_away: Callable[[], None]


@pytest.fixture
def fakes() -> Stores:
    log, registry, prejoined = FakeLog(), FakeRegistry(), FakePrejoinedRooms()
    words, queue = FakeWords(), FakeQueue()

    async def report(state: QueueState) -> None:
        queue.state = state

    async def offer(session_id: str, region: str) -> None:
        prejoined.offer(**{session_id: region})

    async def occupy() -> None:
        registry.node_states.append(node("n1"))
        registry.taken.append(Slot(session_id=SESSION, taken_at=NOW))

    def go_away() -> None:
        log.is_away = registry.is_away = True
        words.refusal = NatsUnavailable("NATS does not answer.")

    return Stores(log, log, FakeKeys(), FakeSeats(), registry, prejoined, words, queue, report, offer, occupy, go_away)


@pytest.fixture
async def nats(bus: Bus, nats_server: NatsServer) -> AsyncIterator[Stores]:
    words = NatsWords(bus, seals=lambda: False, now=lambda: NOW, deadline_s=1)
    queue = NatsStartQueue(bus)
    log, prejoined = NatsSessionLog(bus, words, queue, deadline_s=1), NatsPrejoinedRooms(bus)
    tasks = [asyncio.create_task(each) for each in (log.run(), prejoined.watch(), queue.watch())]

    async def report(state: QueueState) -> None:
        await bus.bucket(QUEUE).put(QUEUE_KEY, state)

    async def offer(session_id: str, region: str) -> None:
        expires_at = NOW + timedelta(hours=1)
        room = PrejoinedRoom(session_id=session_id, node_id="n1", region=region, joined_at=NOW, expires_at=expires_at)
        await bus.bucket(PREJOINED).create(session_id, room)

    async def occupy() -> None:
        await bus.bucket(NODES).put("n1", node("n1"))
        await bus.bucket(SLOTS).put("0", Slot(session_id=SESSION, taken_at=NOW))

    yield Stores(
        log,
        log,
        NatsIdempotencyKeys(bus, deadline_s=1),
        NatsSeats(bus, deadline_s=1),
        NatsRegistry(bus, deadline_s=1),
        prejoined,
        NatsWords(bus, seals=lambda: True, now=lambda: NOW, deadline_s=1),
        queue,
        report,
        offer,
        occupy,
        nats_server.kill9,
    )
    for task in tasks:
        task.cancel()


@pytest.fixture(params=["fakes", "nats"])
def stores(request: pytest.FixtureRequest) -> Stores:
    return request.getfixturevalue(request.param)


async def test_a_session_is_opened_once_and_an_event_is_in_its_log_once(stores: Stores) -> None:
    log = stores.log
    await log.connected()
    assert await log.open(requested()) == 1
    with pytest.raises(SessionIdTaken):
        await log.open(requested(user="bob"))
    assert await log.open(requested(OTHER)) == 2
    for event in (assigned(), assigned(), ended(), ended()):
        await log.publish(event)

    assert await log.history(SESSION) == [requested(), assigned(), ended()]
    assert await log.last(JobAssigned, SESSION) == assigned()
    assert await log.latest(SESSION) == ended()
    assert (await log.last(SessionEnded, OTHER), await log.latest("session_none")) == (None, None)


async def test_only_the_kinds_that_were_asked_for_are_read(stores: Stores) -> None:
    for event in (requested(), assigned(), requested(OTHER), ended()):
        await stores.log.publish(event)
    kinds: tuple[type[Event], ...] = (SessionRequested, SessionEnded)

    assert await stores.log.since(NOW, *kinds) == [requested(), requested(OTHER), ended()]
    read: list[tuple[int, Event | None]] = []
    async for batch in stores.reader.read(2, *kinds):
        read += [(each.seq, each.event) for each in batch]
        if not batch and read:
            break
    assert read == [(3, requested(OTHER)), (4, ended())]
    async with stores.log.follow(SESSION, *kinds) as found:
        assert [await anext(found), await anext(found)] == [requested(), ended()]


async def test_a_watch_tells_a_sessions_new_events_without_ticks_and_for_all_sessions_past_ones_too(
    stores: Stores,
) -> None:
    async with stores.log.watch(SESSION) as one:
        await stores.log.open(requested(), secret="")
        for event in (tick(5_000), assigned(session_id=OTHER), assigned()):
            await stores.log.publish(event)
        assert await told(one, ("assigned", SESSION)) == [("requested", SESSION), ("assigned", SESSION)]

    async with stores.log.watch() as every:
        past = [("requested", SESSION), ("assigned", OTHER), ("assigned", SESSION)]
        assert await told(every, ("assigned", SESSION)) == past
        await stores.log.publish(ready())
        assert await told(every, ("agent_ready", SESSION)) == [("agent_ready", SESSION)]


async def told(watch: TailReader, until: tuple[str, str]) -> list[tuple[str, str]]:
    """The events and sessions that it tells from now on, up to this one."""
    found: list[tuple[str, str]] = []
    async with asyncio.timeout(5):
        while until not in found:
            found += [(each.event.event, each.event.session_id) for each in await watch.next() if each.event]
    return found


async def test_a_key_belongs_to_its_first_request(stores: Stores) -> None:
    first, second = (IdempotentStart(session_id=name, body_sha256=name) for name in (SESSION, OTHER))
    assert await stores.keys.find("k", IdempotentStart) is None
    keyed = await stores.keys.put_if_absent("k", first)
    assert (keyed.entry, keyed.is_ours) == (first, True)

    again = await stores.keys.put_if_absent("k", second)
    assert (again.entry, again.revision, again.is_ours) == (first, keyed.revision, False)
    replaced = await stores.keys.replace("k", again, second)
    assert (replaced.entry, replaced.is_ours) == (second, True)
    late = await stores.keys.replace("k", keyed, first)
    assert (late.entry, late.revision, late.is_ours) == (second, replaced.revision, False)
    found = await stores.keys.find("k", IdempotentStart)
    assert (found and found.entry) == second


async def test_a_request_key_past_its_age_came_back_and_belongs_to_nobody(bus: Bus) -> None:
    first, second = (IdempotentStart(session_id=name, body_sha256=name) for name in (SESSION, OTHER))
    keys = NatsIdempotencyKeys(bus, deadline_s=1)
    await keys.put_if_absent("k", first)
    later = NatsIdempotencyKeys(bus, deadline_s=1, now=lambda: time.time() + 25 * 3600 + 1)

    assert await later.find("k", IdempotentStart) is None
    keyed = await later.put_if_absent("k", second)

    assert (keyed.entry, keyed.is_ours) == (second, True)
    found = await keys.find("k", IdempotentStart)
    assert (found and found.entry) == second


async def test_a_seat_belongs_to_its_first_user(stores: Stores) -> None:
    assert await stores.seats.take(SESSION, "ann") == "ann"
    assert await stores.seats.take(SESSION, "bob") == "ann"
    assert await stores.seats.take(OTHER, "bob") == "bob"

    for session_id in (SESSION, "session_none"):
        await stores.seats.erase(session_id)
    assert await stores.seats.take(SESSION, "bob") == ""


async def test_a_session_keeps_its_secret_until_it_is_erased(stores: Stores) -> None:
    first = await stores.words.secret_for(SESSION)
    assert first
    assert await stores.words.secret_for(SESSION) == first != await stores.words.secret_for(OTHER)

    for session_id in (SESSION, SESSION, "session_none"):
        await stores.words.erase(session_id)

    for session_id in (SESSION, "session_none"):
        with pytest.raises(SessionIdTaken):
            await stores.words.secret_for(session_id)


async def test_the_queue_is_as_full_as_the_scheduler_last_said(stores: Stores) -> None:
    queue = stores.queue
    assert (queue.may_be_full(9), queue.log_is_full) == (False, False)

    await stores.report(QueueState(waiting=2, max_queue=3, seq=10, log_is_full=True))
    await until(lambda: queue.log_is_full)

    assert [queue.may_be_full(seq) for seq in (11, 12, None)] == [False, True, True]


async def test_nodes_and_slots_are_listed_and_an_unknown_node_is_not_drained(stores: Stores) -> None:
    await stores.occupy()
    assert [state.node_id for state in await stores.registry.nodes()] == ["n1"]
    assert [slot.session_id for slot in await stores.registry.slots()] == [SESSION]
    assert (await stores.registry.check()).ok
    with pytest.raises(Refused, match="No node n2 is alive"):
        await stores.registry.drain("n2", 1)


async def test_a_prejoined_room_goes_to_one_start_of_its_region(stores: Stores) -> None:
    rooms = stores.prejoined
    assert await rooms.claim(region=None) is None
    for session_id, region in ((SESSION, "eu"), (OTHER, "us")):
        await stores.offer(session_id, region)
    await until(lambda: rooms.ids == {SESSION, OTHER})

    assert await rooms.claim(region="asia") is None
    assert await rooms.claim(region="us") == OTHER
    assert (await rooms.claim(region="us"), rooms.ids) == (None, {SESSION})
    assert await rooms.claim(region=None) == SESSION


async def test_every_method_names_a_nats_that_is_away(stores: Stores) -> None:
    await stores.log.publish(requested())
    stores.go_away()
    log, registry = stores.log, stores.registry

    calls: tuple[Awaitable[object], ...] = (
        log.open(requested(OTHER)),
        log.publish(ready()),
        log.last(SessionRequested, SESSION),
        log.latest(SESSION),
        log.history(SESSION),
        registry.nodes(),
        registry.slots(),
        registry.drain("n1", 1),
        stores.words.secret_for(SESSION),
        stores.words.erase(SESSION),
    )
    answers = await asyncio.gather(*calls, return_exceptions=True)

    assert [type(answer) for answer in answers] == [NatsUnavailable] * len(calls)
    assert not (await registry.check()).ok


async def test_a_scheduler_is_missed_once_its_lease_has_ended(bus: Bus) -> None:
    registry = NatsRegistry(bus, deadline_s=1)
    assert not await registry.has_scheduler()

    await bus.bucket(LEADERS).put("scheduler", Leader(holder="scheduler-1"), ttl_s=1)
    assert await registry.has_scheduler()

    async def is_missed() -> bool:
        return not await registry.has_scheduler()

    await until(is_missed, 10, "its lease has not ended")
