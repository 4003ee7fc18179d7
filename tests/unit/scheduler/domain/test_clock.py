"""The log's clock: steps of the bus' clock move no deadline."""

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.events import SessionEnded
from scheduler.domain.clock import STEP_MS, LogClock, Reading
from scheduler.domain.limits import Limits
from tests.support.events import SESSION, T0, end_requested, requested, started
from tests.support.scheduler.world import Leader, World, in_call, leads

LIMITS = Limits(max_bots=2, max_queue=3, session_ms=300_000)
SLACK_MS = 5  # a round trip, and rounding


@dataclass
class Bus:
    """A stream whose clock is set now and then, and a scheduler that reads it."""

    now_s: float = 50.0
    set_ms: int = 0
    seq: int = 0

    def __post_init__(self) -> None:
        self.clock = LogClock()

    def stamp(self) -> int:
        return T0 + round(self.now_s * 1000) + self.set_ms

    def store(self) -> tuple[int, int, float]:
        """A record: its stamp, its sequence, and when it really was stored."""
        self.seq += 1
        return self.stamp(), self.seq, self.now_s

    def read(self) -> None:
        asked_s = self.now_s
        self.now_s += 0.002
        self.clock.read(Reading(self.stamp(), self.seq, asked_s, self.now_s))


steps = st.integers(-7_200_000, 7_200_000).filter(lambda ms: abs(ms) > 3 * STEP_MS)
happenings = st.lists(
    st.one_of(
        st.tuples(st.just("record"), st.just(0)),
        st.tuples(st.just("reading"), st.just(0)),
        st.tuples(st.just("step"), steps),
        st.tuples(st.just("pause"), st.integers(1, 900)),
    ),
    max_size=60,
)


@given(happenings)
def test_a_record_keeps_its_time_whatever_the_bus_clock_is_set_to(happenings: list[tuple[str, int]]) -> None:
    bus = Bus()
    bus.read()
    began_ms = bus.clock.now_ms(0)
    records: list[tuple[int, int, float]] = []
    since_reading_s, stepped = 0.0, False
    for kind, value in happenings:
        if kind == "record":
            records.append(bus.store())
        elif kind == "pause":
            bus.now_s += value / 1000
            since_reading_s += value / 1000
        elif kind == "step" and not stepped:
            bus.set_ms += value
            stepped = True
        if kind == "reading" or since_reading_s > 1:  # as the timekeeper does, at least once a second
            bus.read()
            since_reading_s, stepped = 0.0, False
    bus.read()

    assert abs(bus.clock.now_ms(bus.now_s) - (began_ms + bus.now_s * 1000)) <= SLACK_MS * 60
    assert abs(bus.clock.bus_ms(bus.clock.now_ms(bus.now_s)) - bus.stamp()) <= SLACK_MS
    for stored_ms, seq, at_s in records:
        placed_ms = bus.clock.log_ms(stored_ms, seq, bus.now_s)
        assert abs(placed_ms - (began_ms + at_s * 1000)) <= SLACK_MS * 60
        assert bus.clock.earliest_ms(placed_ms - 1_000) <= stored_ms


def test_drift_is_followed() -> None:
    bus = Bus()
    bus.read()
    for _ in range(100):
        bus.now_s += 1
        bus.set_ms += 40
        bus.read()

    assert abs(bus.clock.now_ms(bus.now_s) - bus.stamp()) <= SLACK_MS


def test_a_late_answer_is_no_step() -> None:
    bus = Bus()
    bus.read()
    bus.clock.read(Reading(bus.stamp(), 0, bus.now_s, bus.now_s + 30))
    bus.now_s += 30

    assert abs(bus.clock.now_ms(bus.now_s) - bus.stamp()) <= SLACK_MS


def test_a_stamp_of_the_future_counts_as_now() -> None:
    bus = Bus()
    bus.set_ms = 3_600_000
    future_ms, seq, _ = bus.store()
    bus.set_ms = 0
    bus.read()  # a process that began after the clock was set back

    assert bus.clock.log_ms(future_ms, seq, bus.now_s) == bus.clock.now_ms(bus.now_s)


def test_steps_before_a_lost_store_do_not_move_the_records_of_the_new_stream() -> None:
    bus = Bus(seq=1_000)
    bus.read()
    bus.set_ms = 60_000
    bus.read()
    bus.seq = 0
    bus.now_s += 1
    bus.read()
    stored_ms, seq, at_s = bus.store()

    assert abs(bus.clock.log_ms(stored_ms, seq, bus.now_s) - bus.clock.now_ms(at_s)) <= SLACK_MS


def test_before_the_first_reading_it_says_nothing() -> None:
    clock = LogClock()

    assert not clock.is_set
    assert clock.now_ms(5.0) == 0


# --- a leader


def outcome(world: World) -> list[str]:
    return [event.reason for event in world.written(SessionEnded)]


@pytest.mark.parametrize("set_s", [-7_200, -31, -3, 3, 31, 7_200])
async def test_a_start_right_after_a_step_of_the_clock_is_placed(set_s: int) -> None:
    world = World(LIMITS)
    leader = await leads(world)
    world.monotonic_s += 0.4
    world.set_ms = set_s * 1000
    world.write(requested())

    await leader.go_on()

    assert outcome(world) == []
    assert SESSION in world.jobs["n1"]
    await leader.conductor.stop()


@pytest.mark.parametrize("set_s", [-7_200, -31, 31, 7_200])
async def test_a_start_that_waits_while_the_clock_is_set_waits_its_30_seconds(set_s: int) -> None:
    world = World(LIMITS)
    leader = Leader(world)  # without any node
    await leader.begin()
    world.write(requested())
    await leader.go_on()
    world.monotonic_s += 14
    world.set_ms = set_s * 1000
    await leader.timekeeper.read()
    world.monotonic_s += 14
    await leader.go_on()
    assert outcome(world) == []

    world.monotonic_s += 3
    await leader.go_on()

    assert outcome(world) == ["no_nodes"]
    await leader.conductor.stop()


@pytest.mark.parametrize("set_s", [-7_200, -31, 31, 7_200])
async def test_a_call_lasts_as_long_as_it_would_and_is_billed_by_the_bus_clock(set_s: int) -> None:
    world = World(LIMITS)
    leader = await in_call(world)
    world.monotonic_s += 100
    world.set_ms = set_s * 1000
    await leader.timekeeper.read()

    world.monotonic_s += 190
    await leader.go_on()
    assert outcome(world) == []

    world.monotonic_s += 11
    await leader.go_on()
    assert outcome(world) == ["session_timeout"]
    ended = next(r for r in world.records if isinstance(r.event, SessionEnded))
    assert abs(ended.event.time.timestamp() * 1000 - ended.stored_ms) <= SLACK_MS
    await leader.conductor.stop()


async def test_a_leader_that_stood_by_during_the_step_reads_the_old_stamps_right() -> None:
    world = World(LIMITS)
    first = await leads(world)
    stand_by = Leader(world)
    world.write(requested())
    await first.go_on()
    world.join("n1", SESSION)
    world.write(started())
    await first.go_on()
    world.monotonic_s += 100
    await stand_by.timekeeper.read()
    world.set_ms = 7_200_000
    await stand_by.timekeeper.read()
    await first.conductor.stop()

    await stand_by.begin()
    await stand_by.go_on()
    assert outcome(world) == []

    world.write(end_requested())
    await stand_by.go_on()
    assert outcome(world) == ["rest"]
    await stand_by.conductor.stop()
