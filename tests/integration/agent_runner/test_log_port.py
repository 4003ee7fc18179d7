"""What a node's `SessionLog`, `Outbox` and `Registry` promise, by their fakes and by NATS."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from agent_runner.adapters.nats_outbox import NatsOutboxes
from agent_runner.adapters.nats_registry import NatsRegistry
from agent_runner.adapters.nats_session_log import NatsSessionLog
from agent_runner.adapters.spool import Spool
from agent_runner.ports import LogUnavailable, Outbox, Registry, SessionLog
from chassis.nats import Bus
from contracts.events import Event, JobAssigned, SessionRequested, ToolCalled, TurnFinished
from contracts.registry import NodeState
from contracts.streams import NODES
from tests.support.agent_runner.fakes import FakeOutboxes, FakeRegistry, FakeSessionLog
from tests.support.events import SESSION, assigned, ready, requested, stopped, tick, tool, turn
from tests.support.scheduler.builders import node
from tests.support.servers import NatsServer


@dataclass
class Ports:
    """The ports, what others write and read, and the loss of NATS."""

    log: SessionLog
    outbox: Outbox
    registry: Registry
    write: Callable[[Sequence[Event]], Awaitable[None]]
    written: Callable[[], Awaitable[list[Event]]]
    shown: Callable[[], Awaitable[int | None]]
    go_away: Callable[[], None]


@pytest.fixture
def fakes() -> Ports:
    log, outbox, registry = FakeSessionLog(), FakeOutboxes().open(SESSION, 1), FakeRegistry()

    async def write(events: Sequence[Event]) -> None:
        log.epoch = max((e.epoch for e in events if isinstance(e, JobAssigned)), default=None)
        log.events = [e for e in events if isinstance(e, SessionRequested | TurnFinished | ToolCalled)]

    async def written() -> list[Event]:
        return outbox.events

    async def shown() -> int | None:
        return registry.shown[-1].busy if registry.shown else None

    def go_away() -> None:
        log.is_away = outbox.is_away = registry.is_away = True

    return Ports(log, outbox, registry, write, written, shown, go_away)


@pytest.fixture
async def nats(bus: Bus, nats_server: NatsServer, tmp_path: Path) -> AsyncIterator[Ports]:
    async def write(events: Sequence[Event]) -> None:
        for event in events:
            await bus.publish(event)

    async def written() -> list[Event]:
        return [stored.event for stored in await bus.history(SESSION) if isinstance(stored.event, Event)]

    async def shown() -> int | None:
        entry = await bus.bucket(NODES).get("n1")
        return None if entry is None or entry.value is None else entry.value.busy

    outboxes = NatsOutboxes(bus, Spool(tmp_path, 1_000_000))
    registry = NatsRegistry(bus, "a")
    yield Ports(NatsSessionLog(bus), outboxes.open(SESSION, 1), registry, write, written, shown, nats_server.kill9)
    await outboxes.close(1)


@pytest.fixture(params=["fakes", "nats"])
def ports(request: pytest.FixtureRequest) -> Ports:
    return request.getfixturevalue(request.param)


def state(busy: int) -> NodeState:
    return node("n1", busy=busy).model_copy(update={"incarnation": "a"})


async def test_the_last_epoch_and_what_was_said_are_read(ports: Ports) -> None:
    await ports.write(())
    assert await ports.log.last_epoch(SESSION, deadline_s=1) is None
    assert list(await ports.log.history(SESSION, deadline_s=1)) == []

    asked, finished = tool(), tool(outcome="done")
    said = [turn(heard="Hi Ann!"), turn(2, 1)]
    await ports.write([requested(), assigned(), ready(), said[0], asked, tick(5_000), finished, assigned(2), said[1]])

    assert await ports.log.last_epoch(SESSION, deadline_s=1) == 2
    assert list(await ports.log.history(SESSION, deadline_s=1)) == [requested(), said[0], asked, finished, said[1]]


async def test_an_outbox_publishes_in_order_and_each_event_once(ports: Ports) -> None:
    events = [ready(), turn(heard="Hi Ann!"), stopped(5_000)]
    for event in events:
        ports.outbox.put(event)
    ports.outbox.put(ready(), expect_last=0)  # another epoch may have written it

    assert await ports.outbox.flush(2)
    ports.outbox.close()

    assert await ports.written() == events


async def test_an_outbox_says_whether_its_events_are_in_the_log_when_the_bus_is_away(ports: Ports) -> None:
    ports.outbox.put(ready())
    assert await ports.outbox.flush(2)

    ports.go_away()
    assert await ports.outbox.flush(0.5), "no event waits"
    ports.outbox.put(stopped(5_000))

    assert not await ports.outbox.flush(0.5)


async def test_an_entry_shows_the_last_state_until_it_is_withdrawn(ports: Ports) -> None:
    for busy in (0, 2):
        assert await ports.registry.announce(state(busy))
        assert await ports.shown() == busy
    await ports.registry.delete("n1")
    assert await ports.shown() is None


async def test_a_bus_that_is_away_is_named_and_costs_no_event(ports: Ports) -> None:
    ports.go_away()
    log = ports.log
    calls = (log.last_epoch(SESSION, deadline_s=0.5), log.history(SESSION, deadline_s=0.5))
    answers = await asyncio.gather(*calls, return_exceptions=True)

    assert [type(answer) for answer in answers] == [LogUnavailable] * 2
    assert not await ports.registry.announce(state(1))
