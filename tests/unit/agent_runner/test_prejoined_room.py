"""One prejoined room, step by step: when its key is renewed, how it ends, and what holds in every order of events."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_runner.domain.prejoined_room import (
    CLAIM_S,
    LEAVE_S,
    DeleteKey,
    Died,
    Ended,
    FillFailed,
    JobCame,
    KeyDeleted,
    Kill,
    Leave,
    Looked,
    NodeWasAway,
    Offered,
    Offering,
    Phase,
    Release,
    Renewed,
    RenewKey,
    Retire,
    RoomEffect,
    RoomEvent,
    RoomState,
    Said,
    WorkerCame,
    room_to_evict,
    step,
)
from agent_runner.link.messages import Joined, Ready, Removed, Stopped
from contracts.causes import Cause
from contracts.deadlines import PREJOINED_LEASE_S, PREJOINED_RENEW_S

NOW = 1000.0
SILENCE_S = 5.0
WAITING = RoomState(
    max_age_s=600, phase=Phase.WAITING, pid=1, has_joined=True, has_key=True, revision=7, expires=NOW + 600, renewed=NOW
)
CLAIMED = replace(WAITING, phase=Phase.CLAIMED, claimed=NOW)
RETIRING = replace(WAITING, phase=Phase.RETIRING, end="made_way")
FILLING = RoomState(max_age_s=600)
LEAVES = (Leave(), Kill(LEAVE_S))


def after(state: RoomState, event: RoomEvent, passed_s: float = 0) -> tuple[Phase, tuple[RoomEffect, ...]]:
    state, effects = step(state, event, NOW + passed_s, silence_limit_s=SILENCE_S)
    return state.phase, effects


@pytest.mark.parametrize(
    ("state", "passed_s", "silence_s", "phase", "effects"),
    [
        (WAITING, 0, 0, Phase.WAITING, ()),
        (WAITING, PREJOINED_RENEW_S, 0, Phase.WAITING, (RenewKey(7),)),
        (replace(WAITING, renewing=NOW), PREJOINED_RENEW_S, 0, Phase.WAITING, ()),
        (replace(WAITING, expires=NOW), 0, 0, Phase.RETIRING, (DeleteKey(7),)),
        (WAITING, PREJOINED_LEASE_S, 0, Phase.LEAVING, (Ended("cut_off"), DeleteKey(7), Kill())),
        (replace(WAITING, expires=NOW), PREJOINED_LEASE_S, 0, Phase.LEAVING, (Ended("cut_off"), DeleteKey(7), Kill())),
        (WAITING, 0, SILENCE_S, Phase.LEAVING, (Ended("hung"), DeleteKey(7), Kill())),
        (replace(CLAIMED, expires=NOW), max(PREJOINED_LEASE_S, CLAIM_S - 1), 0, Phase.CLAIMED, ()),
        (CLAIMED, CLAIM_S, 0, Phase.LEAVING, (Ended("unused"), *LEAVES)),
        (CLAIMED, 0, SILENCE_S, Phase.LEAVING, (Ended("hung"), Kill())),
        (RETIRING, PREJOINED_LEASE_S, SILENCE_S, Phase.RETIRING, ()),
    ],
)
def test_time_passes(
    state: RoomState, passed_s: float, silence_s: float, phase: Phase, effects: tuple[RoomEffect, ...]
) -> None:
    assert after(state, Looked(silence_s), passed_s) == (phase, effects)


@pytest.mark.parametrize(
    ("state", "event", "phase", "effects"),
    [
        (WAITING, Retire("made_way"), Phase.RETIRING, (DeleteKey(7),)),
        (RETIRING, Retire("drained", claimed_too=True), Phase.RETIRING, ()),
        (RETIRING, KeyDeleted(by_us=True), Phase.LEAVING, (Ended("made_way"), *LEAVES)),
        (RETIRING, KeyDeleted(by_us=False), Phase.CLAIMED, ()),
        (replace(RETIRING, claimed_too=True), KeyDeleted(by_us=False), Phase.LEAVING, (Ended("made_way"), *LEAVES)),
        (RETIRING, Renewed(None), Phase.RETIRING, ()),
        (RETIRING, JobCame(), Phase.OVER, (Ended("used"), Release())),
        (WAITING, Renewed(None), Phase.CLAIMED, ()),
        (CLAIMED, Retire("stale"), Phase.CLAIMED, ()),
        (CLAIMED, Retire("drained", claimed_too=True), Phase.LEAVING, (Ended("drained"), *LEAVES)),
        (CLAIMED, JobCame(), Phase.OVER, (Ended("used"), Release())),
        (replace(CLAIMED, silent_s=1), JobCame(), Phase.LEAVING, (Ended("hung"), Kill())),
        (CLAIMED, NodeWasAway(), Phase.LEAVING, (Ended("cut_off"), Kill())),
        (WAITING, NodeWasAway(), Phase.LEAVING, (Ended("cut_off"), DeleteKey(7), Kill())),
        (WAITING, Said(Removed(duplicate=False)), Phase.LEAVING, (Ended("removed"), DeleteKey(7), *LEAVES)),
        (WAITING, Died(), Phase.OVER, (Ended("died"), DeleteKey(7), Release())),
        (FILLING, FillFailed("no_worker"), Phase.OVER, (Ended("no_worker"), Release())),
        (FILLING, Retire("stale"), Phase.OVER, (Ended("stale"), Release())),
        (FILLING, JobCame(), Phase.FILLING, ()),
        (replace(FILLING, pid=1), Said(Stopped(cause=Cause.JOIN_FAILED)), Phase.FILLING, ()),
        (
            replace(FILLING, pid=1, has_key=True),
            FillFailed("failed"),
            Phase.LEAVING,
            (Ended("failed"), DeleteKey(0), *LEAVES),
        ),
    ],
)
def test_an_event(state: RoomState, event: RoomEvent, phase: Phase, effects: tuple[RoomEffect, ...]) -> None:
    assert after(state, event) == (phase, effects)


def test_a_worker_or_a_key_that_comes_after_the_end_goes() -> None:
    ended, _ = step(FILLING, FillFailed("failed"), NOW, silence_limit_s=SILENCE_S)
    assert after(ended, WorkerCame(1))[1] == (Kill(),)
    assert after(ended, Offered(9))[1] == (DeleteKey(9),)


def test_a_failed_renewal_is_tried_again_and_the_lease_counts_from_the_last_one() -> None:
    state, _ = step(WAITING, Looked(0), NOW + PREJOINED_RENEW_S, silence_limit_s=SILENCE_S)
    state, _ = step(state, Renewed(0), NOW + PREJOINED_RENEW_S + 2, silence_limit_s=SILENCE_S)
    assert after(state, Looked(0), PREJOINED_RENEW_S + 2)[1] == (RenewKey(7),)
    assert after(state, Looked(0), PREJOINED_LEASE_S)[0] is Phase.LEAVING
    state = replace(state, renewing=NOW + PREJOINED_RENEW_S)
    state, _ = step(state, Renewed(8), NOW + PREJOINED_RENEW_S + 2, silence_limit_s=SILENCE_S)
    assert (state.revision, state.renewed) == (8, NOW + PREJOINED_RENEW_S)


def test_the_oldest_unclaimed_room_makes_way_when_the_slots_do_not_suffice() -> None:
    rooms = {"joining": FILLING, "claimed": CLAIMED, "old": WAITING, "new": WAITING}
    assert room_to_evict(rooms, jobs=1, slots=5) is None
    assert room_to_evict(rooms, jobs=2, slots=5) == "old"
    assert room_to_evict({**rooms, "old": RETIRING}, jobs=2, slots=5) is None
    assert room_to_evict({"claimed": CLAIMED}, jobs=2, slots=2) is None


_messages = st.sampled_from([Ready(pid=1), Joined(), Removed(duplicate=True), Stopped(cause=Cause.ROOM_CLOSED)])
_events = st.lists(
    st.tuples(
        st.floats(0, 20),
        st.one_of(
            st.builds(Said, _messages),
            st.builds(Looked, st.floats(0, 1)),
            st.builds(Renewed, st.one_of(st.none(), st.integers(0, 9))),
            st.builds(KeyDeleted, st.booleans()),
            st.builds(Retire, st.sampled_from(["made_way", "stale", "drained"]), st.booleans()),
            st.builds(FillFailed, st.just("failed")),
            st.sampled_from([Died(), Offering(), Offered(7), JobCame(), NodeWasAway()]),
        ),
    ),
    max_size=30,
)


@given(st.sampled_from([FILLING, WAITING, CLAIMED, RETIRING]), _events)
def test_in_every_order_of_events(state: RoomState, events: list[tuple[float, RoomEvent]]) -> None:
    if not state.pid:
        state, _ = step(state, WorkerCame(1), NOW, silence_limit_s=SILENCE_S)
    now, done = NOW, list[RoomEffect]()
    for passed_s, event in [*events, (0.0, NodeWasAway()), (0.0, Died())]:
        now += passed_s
        ended_before = state.phase in (Phase.LEAVING, Phase.OVER)
        state, effects = step(state, event, now, silence_limit_s=SILENCE_S)
        done += effects
        if ended_before:
            assert not any(isinstance(effect, Ended | Leave | Kill | RenewKey) for effect in effects)
        if any(isinstance(effect, Leave | Kill) for effect in effects):
            assert state.phase is Phase.LEAVING
    assert state.phase is Phase.OVER
    assert len([effect for effect in done if isinstance(effect, Ended)]) == 1, "a room ends once"
    assert done.count(Release()) == 1, "its slot is released once"
    assert done.index(Ended(state.end or "")) < done.index(Release())
