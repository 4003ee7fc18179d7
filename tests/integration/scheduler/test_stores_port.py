"""What the scheduler's `SessionLog` and `Slots` promise, by the world of its unit tests and by NATS."""

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from chassis.nats import Bus
from contracts.registry import Slot
from scheduler.adapters.nats_session_log import NatsSessionLog
from scheduler.adapters.nats_slots import NatsSlots
from scheduler.domain.limits import Limits
from scheduler.ports import Outrun, SessionLog, Slots, Unavailable
from tests.support.events import SESSION, assigned, ended, queued, ready, requested, started, tick
from tests.support.scheduler.world import World
from tests.support.servers import NatsServer

OTHER = "session_other"


@dataclass
class Stores:
    log: SessionLog
    slots: Slots
    go_away: Any


@pytest.fixture
def world() -> Stores:
    world = World(Limits())
    log: Any = world
    return Stores(log, world, lambda: setattr(world, "down", True))


@pytest.fixture
def nats(bus: Bus, nats_server: NatsServer) -> Stores:
    return Stores(NatsSessionLog(bus), NatsSlots(bus), nats_server.kill9)


@pytest.fixture(params=["world", "nats"])
def stores(request: pytest.FixtureRequest) -> Stores:
    return request.getfixturevalue(request.param)


def slot(session_id: str = SESSION) -> Slot:
    return Slot(session_id=session_id, taken_at=datetime.now(UTC))


async def test_a_fact_is_in_the_log_once_and_whoever_expected_another_is_outrun(stores: Stores) -> None:
    first = await stores.log.append(requested(), expect_last=0)
    again = await stores.log.append(requested(), expect_last=0)
    assert (again.seq, again.event) == (first.seq, first.event)

    placed = await stores.log.append(assigned(), expect_last=0)
    with pytest.raises(Outrun):
        await stores.log.append(assigned(2, "n2"), expect_last=0)
    moved = await stores.log.append(assigned(2, "n2"), expect_last=placed.seq)

    assert [r.seq for r in await stores.log.history(SESSION)] == [first.seq, placed.seq, moved.seq] == [1, 2, 3]
    assert (await stores.log.clock())[1] == 3


async def test_a_repeated_tick_behind_a_later_one_is_no_other_fact(stores: Stores) -> None:
    first = await stores.log.append(tick(5_000))
    await stores.log.append(tick(10_000))
    again = await stores.log.append(tick(5_000))

    assert (again.seq, again.event.id) == (first.seq, first.event.id)
    assert len(await stores.log.history(SESSION)) == 2


async def test_what_has_begun_and_not_ended_is_found_with_its_lifecycle(stores: Stores) -> None:
    for event in (requested(), queued(), requested(OTHER), assigned(session_id=OTHER), ready(session_id=OTHER)):
        await stores.log.append(event)
    begun_ms = (await stores.log.clock())[0]
    assert await stores.log.unfinished() == {SESSION, OTHER}
    assert await stores.log.requested_since(begun_ms - 10_000) == {SESSION, OTHER}
    assert await stores.log.requested_since(begun_ms + 10_000) == frozenset()

    await stores.log.append(started(session_id=OTHER))
    await stores.log.append(ended(session_id=OTHER))

    assert await stores.log.unfinished() == {SESSION}
    names = [r.event.event for r in await stores.log.lifecycles([OTHER])]
    assert names == ["requested", "assigned", "agent_ready", "started", "ended"]
    assert [r.event.event for r in await stores.log.lifecycles([SESSION])] == ["requested", "queued"]
    tail = await stores.log.tail()
    assert (tail.seq, tail.last_request_seq) == (7, 3)
    assert await stores.log.begins_ms() <= begun_ms


async def test_a_slot_belongs_to_one_session_until_it_is_released(stores: Stores) -> None:
    await stores.slots.take(0, slot())
    await stores.slots.take(0, slot())
    with pytest.raises(Outrun):
        await stores.slots.take(0, slot(OTHER))
    await stores.slots.release(0, OTHER)
    assert {key: held.session_id for key, held in (await stores.slots.held()).items()} == {0: SESSION}

    await stores.slots.release(0, SESSION)
    await stores.slots.take(0, slot(OTHER))
    assert {key: held.session_id for key, held in (await stores.slots.held()).items()} == {0: OTHER}


async def test_a_slot_is_swept_only_as_it_was_read(stores: Stores) -> None:
    await stores.slots.take(7, slot())
    held = (await stores.slots.held())[7]
    await stores.slots.sweep(7, replace(held, revision=held.revision + 1))
    assert set(await stores.slots.held()) == {7}
    await stores.slots.sweep(7, held)
    assert await stores.slots.held() == {}


async def test_every_method_names_a_bus_that_is_away(stores: Stores) -> None:
    stores.go_away()
    log, slots = stores.log, stores.slots
    calls: tuple[Awaitable[object], ...] = (
        log.history(SESSION),
        log.lifecycles([SESSION]),
        log.begins_ms(),
        log.tail(),
        log.clock(),
        log.append(requested(time=datetime.now(UTC) + timedelta(seconds=1))),
        slots.held(),
        slots.take(0, slot()),
        slots.release(0, SESSION),
    )
    answers = await asyncio.gather(*calls, return_exceptions=True)

    assert [type(answer) for answer in answers] == [Unavailable] * len(calls)
