"""The pool's plan: filled at once, never beyond the slots, restrained when workers die at once."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from agent_runner.domain.pool import (
    MAX_DELAY_S,
    Backoff,
    Fork,
    Give,
    IdleWorker,
    Plan,
    PoolLimits,
    PoolState,
    PoolStep,
    plan,
)

LIMITS = PoolLimits(slots=10, target=3, max_age_s=3600, start_s=20, silence_s=5)


NOW = 10_000.0


def warm(pid: int, *, age_s: float = 60, silent_s: float = 0) -> IdleWorker:
    return IdleWorker(pid=pid, born=NOW - age_s, ready=True, silent_s=silent_s)


def starting(pid: int, age_s: float = 0.01) -> IdleWorker:
    return IdleWorker(pid=pid, born=NOW - age_s)


def plan_for(
    *idle: IdleWorker,
    limits: PoolLimits = LIMITS,
    busy: int = 0,
    waiting: int = 0,
    draining: bool = False,
    backoff: Backoff | None = None,
    now: float = NOW,
    call_starts: bool = False,
) -> Plan:
    return plan(
        limits,
        idle,
        busy=busy,
        waiting=waiting,
        draining=draining,
        backoff=backoff or Backoff(),
        now=now,
        starting=call_starts,
    )


def test_an_empty_pool_is_filled() -> None:
    assert plan_for() == Plan(fork=3, retire=())


def test_a_starting_worker_counts_as_one() -> None:
    assert plan_for(warm(1), starting(2)) == Plan(fork=1, retire=())


def test_the_last_slots_limit_the_pool() -> None:
    assert plan_for(busy=9) == Plan(fork=1, retire=())
    assert plan_for(busy=10) == Plan(fork=0, retire=())


def test_idle_workers_make_room_when_calls_need_the_slots() -> None:
    assert plan_for(warm(1), warm(2), warm(3), busy=8) == Plan(fork=0, retire=(3,))


def test_a_job_that_finds_the_pool_empty_gets_a_fork_of_its_own() -> None:
    limits = replace(LIMITS, target=0)
    assert plan_for(limits=limits, busy=1, waiting=1) == Plan(fork=1, retire=())
    assert plan_for(limits=replace(limits, slots=1), busy=1, waiting=1) == Plan(fork=1, retire=())


def test_a_fork_waits_for_a_call_that_starts_while_another_worker_is_warm() -> None:
    assert plan_for(warm(1), warm(2), busy=1, call_starts=True) == Plan(fork=0, retire=())
    assert plan_for(warm(1), warm(2), busy=1) == Plan(fork=1, retire=())


def test_no_fork_waits_once_the_last_warm_worker_is_taken_or_a_job_has_none() -> None:
    assert plan_for(busy=1, call_starts=True).fork == 3
    assert plan_for(starting(1), busy=1, call_starts=True).fork == 2
    assert plan_for(warm(1, silent_s=5), busy=1, call_starts=True).fork == 3
    assert plan_for(warm(1), busy=2, waiting=1, call_starts=True).fork == 3


def test_a_silent_worker_and_one_that_never_got_ready_are_replaced() -> None:
    assert plan_for(warm(1, silent_s=5), warm(2), starting(3, age_s=21)) == Plan(fork=2, retire=(1, 3))


def test_aged_workers_go_one_at_a_time_the_oldest_first() -> None:
    assert plan_for(warm(1, age_s=3600), warm(2, age_s=4000), warm(3)) == Plan(fork=1, retire=(2,))


def test_workers_of_an_older_configuration_go_one_at_a_time_too() -> None:
    stale = [replace(warm(pid), stale=True) for pid in (1, 2)]
    assert plan_for(*stale, warm(3)) == Plan(fork=1, retire=(1,))


def test_the_last_warm_worker_is_not_given_up_for_its_age_while_others_start() -> None:
    assert plan_for(warm(1, age_s=4000), starting(2), starting(3)) == Plan(fork=0, retire=())


def test_a_full_node_replaces_an_aged_worker_only_when_it_is_gone() -> None:
    limits = replace(LIMITS, slots=3)
    aged = (warm(1, age_s=4000), warm(2), warm(3))
    assert plan_for(*aged, limits=limits) == Plan(fork=0, retire=(1,))
    assert plan_for(warm(2), warm(3), limits=limits, busy=1) == Plan(fork=0, retire=())
    assert plan_for(warm(2), warm(3), limits=limits, busy=0) == Plan(fork=1, retire=())


def test_a_draining_node_lets_its_idle_workers_go() -> None:
    assert plan_for(warm(1), starting(2), draining=True) == Plan(fork=0, retire=(1, 2))


def test_the_first_early_death_costs_no_delay_the_next_ones_double_it() -> None:
    backoff, now = Backoff(), 0.0
    delays: list[float] = []
    for _ in range(10):
        backoff = backoff.after_death(now, lived_s=0.1)
        delays.append(backoff.until - now)
        now = backoff.until
    assert delays == [0, 0.5, 1, 2, 4, 8, 16, 30, 30, 30]


def test_a_worker_that_lived_is_no_sign_of_a_broken_configuration() -> None:
    assert Backoff(5, 200).after_death(100, lived_s=60) == Backoff()
    assert Backoff(5, 200).after_look([warm(1)], NOW) == Backoff()
    assert Backoff(5, 200).after_look([starting(1), warm(2, age_s=1)], NOW) == Backoff(5, 200)


def test_broken_workers_are_tried_one_at_a_time_and_not_before_the_delay() -> None:
    assert plan_for(backoff=Backoff(3, NOW + 1)).fork == 0
    assert plan_for(backoff=Backoff(3, NOW)).fork == 1
    assert plan_for(starting(1), backoff=Backoff(3, NOW)).fork == 0


_idle = st.lists(
    st.builds(
        IdleWorker,
        pid=st.integers(1, 10**6),
        born=st.floats(0, NOW),
        ready=st.booleans(),
        silent_s=st.floats(0, 10),
    ),
    max_size=12,
    unique_by=lambda w: w.pid,
)


@given(
    slots=st.integers(1, 12),
    target=st.integers(0, 12),
    idle=_idle,
    busy=st.integers(0, 12),
    waiting=st.integers(0, 3),
    draining=st.booleans(),
    failures=st.integers(0, 30),
    until=st.floats(NOW - 100, NOW + 100),
)
def test_a_plan_never_leads_beyond_the_slots(
    slots: int,
    target: int,
    idle: list[IdleWorker],
    busy: int,
    waiting: int,
    draining: bool,
    failures: int,
    until: float,
) -> None:
    waiting = min(waiting, busy)
    found = plan(
        replace(LIMITS, slots=slots, target=target),
        idle,
        busy=busy,
        waiting=waiting,
        draining=draining,
        backoff=Backoff(failures, until),
        now=NOW,
    )
    assert found.fork >= 0
    assert set(found.retire) <= {w.pid for w in idle}
    assert len(set(found.retire)) == len(found.retire)
    if found.fork:
        assert (busy - waiting) + len(idle) + found.fork <= slots
    if draining:
        assert len(idle) - len(found.retire) + found.fork <= max(waiting, 0)
    if failures:
        assert found.fork <= 1


@given(st.integers(1, 12), st.integers(0, 12), st.integers(0, 12))
def test_following_the_plan_settles_at_the_target(slots: int, target: int, busy: int) -> None:
    limits = replace(LIMITS, slots=slots, target=target)
    first = plan_for(limits=limits, busy=min(busy, slots))
    idle = [warm(pid) for pid in range(first.fork)]
    assert len(idle) == min(target, slots - min(busy, slots))
    assert plan_for(*idle, limits=limits, busy=min(busy, slots)) == Plan(fork=0, retire=())


@given(st.lists(st.floats(0, 4.9), min_size=1, max_size=60))
def test_the_back_off_is_bounded(lives: list[float]) -> None:
    backoff, now = Backoff(), 0.0
    for lived_s in lives:
        now = max(now, backoff.until)
        backoff = backoff.after_death(now, lived_s=lived_s)
        assert now <= backoff.until <= now + MAX_DELAY_S


_pool_events = st.lists(
    st.tuples(
        st.floats(0, 2), st.sampled_from(["job", "over", "room", "unroom", "ready", "die", "look", "stale", "drain"])
    ),
    max_size=60,
)


@given(st.integers(1, 4), st.integers(0, 4), _pool_events)
def test_in_every_order_of_events_no_worker_is_given_twice_and_the_slots_suffice(
    slots: int, target: int, events: list[tuple[float, str]]
) -> None:
    limits = replace(LIMITS, slots=slots, target=target)
    state, now, given_pids, pids, waiting = PoolState(), NOW, list[int](), iter(range(1, 10**6)), 0

    def take(step: PoolStep) -> bool:
        nonlocal state, waiting
        state, effects = step
        for effect in effects:
            if isinstance(effect, Give):
                given_pids.append(effect.pid)
                waiting -= effect.to_waiter
        return Fork() in effects

    for passed_s, what in events:
        now += passed_s
        first = next(iter(state.idle), 0)
        match what:
            case "job" if state.jobs + state.held < slots:
                state = replace(state, jobs=state.jobs + 1)
                given_before = len(given_pids)
                take(state.worker_asked(now, may_be_stale=True))
                waiting += len(given_pids) == given_before
            case "over" if state.jobs > waiting:
                state = replace(state, jobs=state.jobs - 1)
            case "room" if state.jobs + state.held < slots:
                state = replace(state, held=state.held + 1)
            case "unroom" if state.held:
                state = replace(state, held=state.held - 1)
            case "ready":
                take(state.spoke(first, now, is_ready=True, waiting=waiting))
            case "die":
                take(state.died(next(iter(state.retiring), first), now))
            case "look":
                state = state.looked(0.5, now)
            case "stale":
                state = state.config_changed()
            case "drain":
                state = replace(state, draining=True)
            case _:
                pass
        while take(state.woke(now, limits, waiting=waiting)):
            state = state.forked(next(pids), now)
        assert len(set(given_pids)) == len(given_pids)
        assert not set(state.idle) & state.retiring
        assert not set(given_pids) & (set(state.idle) | state.retiring)
        busy = state.jobs - waiting + state.held
        assert busy + len(state.idle) <= max(slots, busy), "idle workers never exceed the free slots"
