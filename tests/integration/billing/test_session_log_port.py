"""What `billing.ports.SessionLog` promises, by its fake and by the stream SESSIONS."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass

import pytest

from billing.adapters.nats_session_log import NatsSessionLog
from billing.domain.ledger import billed, settle
from billing.domain.rating import Tariff
from billing.domain.usage import usage
from billing.ports import LogUnavailable, SessionLog
from chassis.nats import Bus
from contracts.events import Event, SessionBilled
from contracts.streams import SESSIONS
from tests.support.billing.fakes import FakeLog
from tests.support.billing.logs import call, log_of
from tests.support.events import SESSION, ended, ready, requested, started, stopped, tick
from tests.support.servers import NatsServer
from tests.support.waiting import until


@dataclass
class Written:
    """The log, its other writers, the loss of its server, and a server that refuses messages."""

    log: SessionLog
    write: Callable[[Event], Awaitable[object]]
    go_away: Callable[[], None]
    refuse: Callable[[], Awaitable[object]]


@pytest.fixture
def fake_log() -> Written:
    log = FakeLog()

    async def write(event: Event) -> None:
        log.records += log_of(event, first_seq=len(log.records) + 1)

    async def refuse() -> None:
        log.refuses = True

    return Written(log, write, lambda: setattr(log, "is_away", True), refuse)


@pytest.fixture
def stream(bus: Bus, nats_server: NatsServer) -> Written:
    async def refuse() -> None:
        config = (await bus.js.stream_info(SESSIONS.name)).config
        await bus.js.update_stream(config.evolve(max_msg_size=1))

    return Written(NatsSessionLog(bus), bus.publish, nats_server.kill9, refuse)


@pytest.fixture(params=["fake_log", "stream"])
def written(request: pytest.FixtureRequest) -> Written:
    return request.getfixturevalue(request.param)


def bill(session: str = SESSION) -> SessionBilled:
    return billed(settle(usage(session, call(61_000)), Tariff()).settlement)


async def test_a_sessions_events_are_read_in_order_and_found_by_name(written: Written) -> None:
    mine = [requested(), started(), tick(5_000), ended(5_000)]
    for event in (*mine[:2], requested("session_2"), *mine[2:]):
        await written.write(event)

    assert [(r.event, r.seq) for r in await written.log.history(SESSION)] == list(zip(mine, (1, 2, 4, 5), strict=True))
    assert await written.log.history("session_none") == []
    assert await written.log.last_seq("tick", SESSION) == 4
    assert await written.log.last_seq("tick", "session_2") is None


async def test_a_bill_is_announced_once(written: Written) -> None:
    for event in (requested(), ended(61_000)):
        await written.write(event)

    assert await written.log.announce(bill())
    assert not await written.log.announce(bill())

    assert [r.event.event for r in await written.log.history(SESSION)] == ["requested", "ended", "billed"]


async def test_the_extent_grows_and_the_newest_is_the_last_that_can_change_a_bill(written: Written) -> None:
    new = await written.log.extent()
    assert (new.last_seq, await written.log.newest()) == (0, 0)
    for event in (requested(), ended(61_000), requested("session_2")):
        await written.write(event)

    grown = await written.log.extent()
    assert (grown.log_ms, grown.first_seq, grown.last_seq) == (new.log_ms, 1, 3)
    assert await written.log.newest() == 2


async def test_a_follower_gets_what_can_change_a_bill_behind_its_place(written: Written) -> None:
    events = [
        ended(),
        requested(),
        ready(),
        started(),
        tick(5_000),
        stopped(6_000),
        ended(7_000, session_id="session_2"),
    ]
    for event in events:
        await written.write(event)
    await written.log.announce(bill())

    found: list[str] = []

    async def follow() -> None:
        async for record in written.log.follow(1):
            found.append(record.event.event)

    following = asyncio.create_task(follow())
    with suppress(AssertionError):
        await until(lambda: len(found) >= 5, 10)
    await asyncio.sleep(0.3)  # for one more
    following.cancel()
    await asyncio.wait({following})
    assert found == ["agent_ready", "started", "tick", "agent_stopped", "ended"]


async def test_the_shown_position_goes_back_only_where_it_may(written: Written) -> None:
    for event in (requested(), ended(61_000)):
        await written.write(event)
    assert await written.log.shown_position() == 0
    for seq, may_go_back, shown in ((2, False, 2), (1, False, 2), (1, True, 1)):
        await written.log.show_position(seq, may_go_back=may_go_back)
        assert await written.log.shown_position() == shown


async def test_every_method_names_a_log_that_is_away(written: Written) -> None:
    await written.write(requested())
    (cause,) = await written.log.history(SESSION)
    written.go_away()

    log = written.log
    calls: tuple[Awaitable[object], ...] = (
        log.history(SESSION),
        log.last_seq("ended", SESSION),
        log.announce(bill()),
        log.extent(),
        log.newest(),
        log.show_position(1, may_go_back=False),
        log.shown_position(),
        log.bury(cause, "unbillable"),
    )
    answers = await asyncio.gather(*calls, return_exceptions=True)

    assert [type(answer) for answer in answers] == [LogUnavailable] * len(calls)


async def test_a_log_that_refuses_a_bill_is_named_as_one_that_is_away(written: Written) -> None:
    for event in (requested(), ended(61_000)):
        await written.write(event)
    await written.refuse()

    with pytest.raises(LogUnavailable):
        await written.log.announce(bill())
