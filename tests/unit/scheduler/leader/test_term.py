"""A term in virtual time: it begins, or it gives the lease back; and what an outage and its end leave behind."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from chassis import metrics
from contracts.events import JobAssigned
from scheduler.domain.clock import LogClock
from scheduler.domain.limits import Limits
from scheduler.domain.reconciling import ROOM_MARGIN_MS
from scheduler.domain.session import Session
from scheduler.handlers import Handlers
from scheduler.leader.agents import Agents
from scheduler.leader.liveness import Liveness
from scheduler.leader.prejoiner import PrejoinPlan
from scheduler.leader.term import Plan, Ports, Term, Terms
from scheduler.leader.timekeeper import Timekeeper
from scheduler.ports import Unavailable
from tests.support.events import SESSION, T0, requested
from tests.support.scheduler.world import Leader, World, asked, settle
from tests.support.virtual_time import VirtualTimeLoop, run


class Silent:
    """A feed that never catches up: its consumer cannot be made."""

    def __init__(self) -> None:
        self.caught_up = asyncio.Event()

    def __aiter__(self) -> "Silent":
        return self

    async def __anext__(self) -> Any:
        await asyncio.Event().wait()


class Unreadable(World):
    """Every call is answered, but no consumer can be made: permissions, or a limit of JetStream."""

    def follow(self, *_: object) -> Silent:  # type: ignore[override]
        return Silent()

    def follow_rooms(self, *_: object) -> Silent:  # type: ignore[override]
        return Silent()

    async def watch(self, *_: object) -> None:  # type: ignore[override]
        await asyncio.Event().wait()


class AllButPrejoined(Unreadable):
    """Everything can be read but the prejoined rooms; its clock is the loop's."""

    def now_ms(self) -> int:
        return T0 + round((asyncio.get_running_loop().time() - 1_000) * 1000)

    def follow(self, *_: object) -> Silent:  # type: ignore[override]
        feed = Silent()
        feed.caught_up.set()
        return feed

    async def watch(self, _changed: object, caught_up: asyncio.Event) -> None:  # type: ignore[override]
        caught_up.set()
        await asyncio.Event().wait()


def term_of(world: Any, leader: Leader, timekeeper: Timekeeper, prejoined: Any = None) -> Term:
    agents = Agents(world, world, "ws://x", leader, world.words)
    plan = Plan(
        limits=world.limits,
        prejoin=PrejoinPlan(size=0, max_age_s=600, livekit_url="ws://x", mint=str, chance=lambda: 0.5),
        reconcile_s=15,
        deployment="here",
        streams_look_s=15,
        calls_bytes=0,
    )
    return Term(
        Ports(world, world, world, world, prejoined or world, world, world, world.words, agents),
        plan,
        timekeeper,
        Handlers,
        lambda: True,
    )


async def gives_up(world: Any, loop: VirtualTimeLoop) -> None:
    """Lead until the term ends by itself."""
    term = term_of(world, Leader(world), Timekeeper(LogClock(), world, monotonic=loop.time))
    async with asyncio.timeout(600):
        with pytest.raises(ExceptionGroup, match="unhandled"):
            await term.run()
    assert not term.has_begun


def test_a_leader_that_cannot_make_its_consumers_gives_the_lease_back() -> None:
    loop = VirtualTimeLoop()
    began = loop.time()

    run(gives_up(Unreadable(Limits()), loop), loop)

    assert 30 < loop.time() - began < 90


def test_a_leader_that_cannot_read_the_prejoined_rooms_repairs_all_but_rooms_without_a_session() -> None:
    loop = VirtualTimeLoop()

    async def lead() -> None:
        world = AllButPrejoined(Limits(queue_ms=600_000), rooms={"session_without_a_start"})
        world.rooms_made_ms = world.now_ms() - 2 * ROOM_MARGIN_MS
        world.write(requested())  # LiveKit has lost its room
        timekeeper = Timekeeper(LogClock(), world, monotonic=loop.time)  # pyright: ignore[reportArgumentType]
        leading = asyncio.ensure_future(term_of(world, Leader(world), timekeeper, Unreadable(Limits())).run())
        await asyncio.sleep(60)

        assert world.rooms == {"session_without_a_start", SESSION}
        leading.cancel()
        await asyncio.wait([leading])

    run(lead(), loop)


@pytest.mark.parametrize("unanswered", ["prepare", "clock", "tail"])
def test_a_leader_that_gets_no_answer_gives_the_lease_back(unanswered: str) -> None:
    loop = VirtualTimeLoop()
    began = loop.time()
    world = Unreadable(Limits())

    async def never() -> None:
        raise Unavailable(unanswered)

    setattr(world, unanswered, never)
    run(gives_up(world, loop), loop)

    assert 30 < loop.time() - began < 90


def test_what_a_former_leader_told_does_not_stay_in_the_alerts() -> None:
    names = ("scheduler_leading", "scheduler_livekit_up", "scheduler_log_needed_ratio")
    for name in (*names, "scheduler_billing_gone_messages"):
        metrics.gauge(name, "").set(1)
    metrics.gauge("scheduler_stream_used_ratio", "").labels("KV_slots").set(1)
    loop = VirtualTimeLoop()

    run(gives_up(Unreadable(Limits()), loop), loop)

    for name in (*names, "scheduler_billing_gone_messages"):
        assert metrics.REGISTRY.get_sample_value(name) == 0, name
    assert metrics.REGISTRY.get_sample_value("scheduler_stream_used_ratio", {"stream": "KV_slots"}) is None


class Hold:
    """A lease by what a leader reads of it."""

    def __init__(self) -> None:
        self.gains = self.others_seen = 0
        self.is_held = True


class Ending:
    """A term that knew one open session when it ended."""

    def __init__(self) -> None:
        self.open_at_end = (Session(SESSION),)

    async def run(self) -> None:
        return


@pytest.mark.parametrize(("others_seen", "known"), [((0, 0, 0), 1), ((7, 7, 7), 1), ((0, 3, 3), 0), ((0, 0, 4), 0)])
async def test_a_leader_forgets_its_last_term_once_it_saw_another_leader(
    others_seen: tuple[int, int, int], known: int
) -> None:
    """`others_seen` before its first term, at the end of that term, and before its second one."""
    lease: Any = Hold()
    before, at_end, again = others_seen
    formers: list[int] = []

    def make(_: object, former: Sequence[Session]) -> Any:
        formers.append(len(former))
        return Ending()

    terms = Terms(make, lease)
    lease.others_seen = before
    await terms.lead()
    lease.others_seen = at_end
    await terms.ended()
    lease.others_seen = again
    await terms.lead()

    assert formers == [0, known]


async def test_an_outage_while_the_log_is_compared_leaves_it_in_doubt() -> None:
    world = World(Limits())
    leader = await asked(world)
    term = term_of(world, leader, leader.timekeeper)
    term.acting = replace(term.make_parts(leader.board), conductor=leader.conductor, reconciler=leader.reconciler)
    term.outage_ended()
    assert leader.conductor.beginnings.in_doubt
    world.monotonic_s += 5
    answer = world.begins_ms

    async def outage_in_between() -> int:
        world.begins_ms = answer  # type: ignore[method-assign]
        term.outage_ended()
        return await answer()

    world.begins_ms = outage_in_between  # type: ignore[method-assign]
    await leader.reconciler.reconcile()
    assert leader.conductor.beginnings.in_doubt
    world.lose_log()
    leader.heard = 0
    world.request_end()
    leader.hear(1)
    await settle()

    assert world.kinds() == ["end_requested", "requested", "ended"]
    await leader.reconciler.reconcile()
    assert not leader.conductor.beginnings.in_doubt


async def test_a_call_whose_node_was_lost_before_a_reconnect_is_taken_over_once_a_node_is_free() -> None:
    world = World(Limits())
    world.add_node("n0")
    leader = Leader(world)
    liveness = Liveness(leader.conductor, world)
    await leader.begin()
    world.write(requested())
    leader.hear(1)
    await settle()
    world.join("n0", SESSION)
    leader.hear()
    leader.see_nodes()  # n0 lists its job
    await settle()
    term = term_of(world, leader, leader.timekeeper)
    term.acting = term.make_parts(leader.board)

    async def passes(seconds: float) -> None:
        world.monotonic_s += seconds
        leader.time_passed()
        await liveness._look()  # pyright: ignore[reportPrivateUsage]
        await settle()

    del world.states["n0"]
    liveness.changed("n0", None)
    await passes(world.limits.node_lease_ms / 1000)  # lost, and no other node is there
    term.outage_ended()
    await passes(1.5)  # the next try finds its node not lost, and waits for the end of the session
    world.add_node("n1")
    liveness.changed("n1", world.reports()["n1"])
    for _ in range(12):
        await passes(1)

    placed = world.written(JobAssigned)
    assert [(event.session_id, event.epoch, event.node_id) for event in placed][:2] == [
        (SESSION, 1, "n0"),
        (SESSION, 2, "n1"),
    ]
