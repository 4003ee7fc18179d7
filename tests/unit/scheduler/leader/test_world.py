"""Two leaders at once, with any lag, on nodes that refuse, die, fall silent and come back: the invariants hold."""

import asyncio
from collections import Counter

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from contracts.events import AgentStopped, JobAssigned, Outcome, SessionEnded, SessionRequested
from contracts.metering import minutes
from scheduler.domain.clock import LogClock
from scheduler.domain.limits import Limits
from tests.support.events import end_requested, requested, started, tick
from tests.support.scheduler.builders import at_ms
from tests.support.scheduler.world import Leader, World, settle

MAX_BOTS = 2
NODES = ("n1", "n2", "n3")
some_node = st.sampled_from(NODES)
some_session = st.integers(0, 5).map(lambda n: f"session_{n}")


class TwoLeaders(RuleBasedStateMachine):
    """Rules are what may happen; after each, the steps under way get some turns, seldom all they need."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.world = World(Limits(max_bots=MAX_BOTS, max_queue=3, session_ms=120_000))
        self.world.add_node("n1")
        self.leaders = [self.make(), self.make()]

    def make(self, clock: LogClock | None = None) -> Leader:
        async def begin() -> Leader:
            return await Leader(self.world, clock=clock).begin()

        return self.loop.run_until_complete(begin())

    def run(self, turns: int) -> None:
        self.loop.run_until_complete(settle(turns))

    async def call(self, function, *arguments) -> None:  # type: ignore[no-untyped-def]
        function(*arguments)

    def do(self, function, *arguments) -> None:  # type: ignore[no-untyped-def]
        """In the loop, since steps are tasks."""
        self.loop.run_until_complete(self.call(function, *arguments))

    @rule(session=some_session, user=st.sampled_from("ab"), limit=st.none() | st.just(1))
    def a_start(self, session: str, user: str, limit: int | None) -> None:
        if not any(r.event.session_id == session for r in self.world.records):
            self.world.rooms.add(session)
            self.world.write(requested(session, user, credit_limit_minutes=limit))

    @rule(session=some_session)
    def an_end(self, session: str) -> None:
        if any(r.event.session_id == session for r in self.world.records):
            self.world.write(end_requested(session_id=session))

    @rule(leader=st.integers(0, 1), n=st.integers(1, 6))
    def a_leader_hears(self, leader: int, n: int) -> None:
        if not self.world.down:
            self.loop.run_until_complete(self.leaders[leader].hear_placed(n))

    @rule(leader=st.integers(0, 1))
    def a_leader_sees_the_nodes(self, leader: int) -> None:
        self.do(self.leaders[leader].see_nodes)

    @rule(leader=st.integers(0, 1), turns=st.integers(0, 6))
    def a_leader_is_replaced(self, leader: int, turns: int) -> None:
        self.run(turns)
        self.loop.run_until_complete(self.leaders[leader].conductor.stop())
        self.leaders[leader] = self.make(self.leaders[leader].timekeeper.clock)

    @rule(leader=st.integers(0, 1), holds=st.booleans())
    def a_lease_lapses_or_is_back(self, leader: int, holds: bool) -> None:
        self.leaders[leader].holds = holds

    @rule(leader=st.integers(0, 1))
    def a_leader_reconciles(self, leader: int) -> None:
        self.loop.run_until_complete(self.leaders[leader].reconciler.reconcile())

    @rule(turns=st.integers(1, 12))
    def time_for_some_steps(self, turns: int) -> None:
        self.run(turns)

    @rule(seconds=st.sampled_from([0.2, 1.1, 5.1, 31, 130]))
    def time_passes(self, seconds: float) -> None:
        self.clocks_are_read()
        self.world.monotonic_s += seconds
        self.clocks_are_read()
        for leader in self.leaders:
            self.do(leader.time_passed)

    def clocks_are_read(self) -> None:
        for leader in self.leaders:
            self.loop.run_until_complete(leader.read_clock())

    @rule(by_s=st.sampled_from([-7_200, -40, -3, 3, 40, 7_200]))
    def the_clock_of_the_log_is_set(self, by_s: int) -> None:
        if not self.world.down:
            self.clocks_are_read()
            self.world.set_ms += by_s * 1000

    @rule(node=some_node)
    def a_node_comes(self, node: str) -> None:
        self.world.add_node(node)

    @rule(node=some_node)
    def a_node_dies(self, node: str) -> None:
        self.world.states.pop(node, None)
        self.world.jobs.pop(node, None)

    @rule(node=some_node)
    def a_node_refuses_or_takes_again(self, node: str) -> None:
        self.world.refusing ^= {node}

    @rule(node=some_node)
    def a_node_falls_silent_or_speaks_again(self, node: str) -> None:
        self.world.silent ^= {node}

    @rule(down=st.booleans())
    def the_bus_fails_or_is_back(self, down: bool) -> None:
        self.world.down = down

    @rule(node=some_node, joins=st.booleans())
    def agents_join(self, node: str, joins: bool) -> None:
        for session in list(self.world.jobs.get(node, {})):
            if joins:
                self.world.join(node, session)
            elif not any(r.event.id == started(session_id=session).id for r in self.world.records):
                self.world.write(started(session_id=session))

    @rule(node=some_node, cause=st.sampled_from(["crashed", "room_closed", "provider_failed:tts", "join_failed"]))
    def an_agent_stops(self, node: str, cause: str) -> None:
        for session in list(self.world.jobs.get(node, {}))[:1]:
            self.world.stop(node, session, cause)

    @rule(session=some_session, served_s=st.integers(1, 90), fault_s=st.integers(0, 30))
    def a_call_is_served(self, session: str, served_s: int, fault_s: int) -> None:
        if epoch := self.last_epoch(session):
            self.world.write(tick(served_s * 1_000, epoch, fault_ms=fault_s * 1_000, session_id=session))

    @rule(session=some_session, epoch=st.integers(1, 2))
    def an_old_word_comes_late(self, session: str, epoch: int) -> None:
        last = self.last_epoch(session)
        if epoch < last:
            self.world.write(AgentStopped(session_id=session, time=at_ms(0), epoch=epoch, cause="ended", served_ms=1))

    def last_epoch(self, session: str) -> int:
        assigned = (r.event for r in self.world.records if r.event.session_id == session)
        return max((e.epoch for e in assigned if isinstance(e, JobAssigned)), default=0)

    @invariant()
    def no_more_than_max_bots_hold_a_slot(self) -> None:
        assert self.world.most_held <= MAX_BOTS
        assert all(0 <= key < MAX_BOTS for key in self.world.held_slots)

    @invariant()
    def each_session_ends_at_most_once(self) -> None:
        ends = Counter(event.session_id for event in self.world.written(SessionEnded))
        assert not [session for session, n in ends.items() if n > 1]

    @invariant()
    def no_session_with_a_limit_is_billed_beyond_it(self) -> None:
        requests = (r.event for r in self.world.records if isinstance(r.event, SessionRequested))
        limits = {e.session_id: e.credit_limit_minutes for e in requests}
        for record in self.world.records:
            if isinstance(record.event, SessionEnded):
                limit = limits[record.event.session_id]
                assert limit is None or minutes(record.event.billable_ms) <= limit

    @invariant()
    def nothing_ends_for_a_time_that_did_not_pass(self) -> None:
        began: dict[str, float] = {}
        for record, written_s in zip(self.world.records, self.world.written_s, strict=True):
            event, waited_s = record.event, written_s - began.get(record.event.session_id, written_s)
            if isinstance(event, SessionRequested):
                began[event.session_id] = written_s
            elif isinstance(event, SessionEnded) and event.outcome is Outcome.REJECTED:
                assert event.reason == "queue_full" or waited_s >= 29.9
            elif isinstance(event, SessionEnded) and event.reason == "session_timeout":
                assert waited_s >= 119.9

    @invariant()
    def epochs_count_up_one_by_one(self) -> None:
        seen: Counter[str] = Counter()
        for record in self.world.records:
            if isinstance(record.event, JobAssigned):
                seen[record.event.session_id] += 1
                assert record.event.epoch == seen[record.event.session_id]

    def teardown(self) -> None:
        """The world heals: every accepted session comes to its one end, and nothing is left of it."""
        self.world.down = False
        self.world.silent = set()
        for leader in self.leaders:
            leader.holds = True
        for _ in range(12):
            self.world.monotonic_s += 16
            for leader in self.leaders:
                self.loop.run_until_complete(leader.hear_placed(10_000))
                self.do(leader.see_nodes)
                self.do(leader.time_passed)
            self.run(300)
            for leader in self.leaders:
                self.loop.run_until_complete(leader.reconciler.reconcile())
            self.run(300)
        begun = {r.event.session_id for r in self.world.records}
        over = {event.session_id for event in self.world.written(SessionEnded)}
        try:
            assert begun == over
            assert self.world.held_slots == {}
            assert not any(self.world.jobs.get(node) for node in self.world.states)
            assert self.world.rooms & begun == set()
            for leader in self.leaders:
                assert leader.board.roster.ids() == []
                assert len(leader.board.slots) == 0
                assert len(leader.conductor.steps.timers) == 0
        finally:
            for leader in self.leaders:
                self.loop.run_until_complete(leader.conductor.stop())
            self.loop.run_until_complete(asyncio.sleep(0))
            self.loop.close()


# Not shrunk: that takes minutes here, and the steps of a failure are printed unchanged.
TwoLeaders.TestCase.settings = settings(
    max_examples=60,
    stateful_step_count=50,
    deadline=None,
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
    suppress_health_check=(HealthCheck.too_slow,),
)
TestTwoLeaders = TwoLeaders.TestCase
