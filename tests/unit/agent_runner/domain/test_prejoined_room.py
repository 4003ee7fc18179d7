"""One prejoined room, step by step: when its key is renewed, how it ends, and what holds in every order of events."""

from collections.abc import Callable
from dataclasses import replace
from operator import methodcaller

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_runner.domain.call_events import Kill, Release
from agent_runner.domain.prejoined_room import (
    DeleteKey,
    Ended,
    Leave,
    Phase,
    RenewKey,
    RoomEffect,
    RoomKey,
    RoomState,
    RoomStep,
    room_to_evict,
)
from agent_runner.link.messages import Joined, Ready, Removed, Stopped
from contracts.causes import Cause
from contracts.deadlines import CLAIMED_ROOM_S, PREJOINED_LEASE_S, PREJOINED_RENEW_S, ROOM_KILL_S

NOW = 1000.0
SILENCE_S = 5.0
KEY = RoomKey(exists=True, revision=7, written=NOW)
WAITING = RoomState(max_age_s=600, phase=Phase.WAITING, pid=1, has_joined=True, key=KEY, expires=NOW + 600)
CLAIMED = replace(WAITING, phase=Phase.CLAIMED, claimed=NOW)
RETIRING = replace(WAITING, phase=Phase.RETIRING, end="made_way")
FILLING = RoomState(max_age_s=600)
LEAVES = (Leave(), Kill(ROOM_KILL_S))


def looked(state: RoomState, passed_s: float, silence_s: float = 0) -> RoomStep:
    return state.looked(silence_s, NOW + passed_s, silence_limit_s=SILENCE_S)


@pytest.mark.parametrize(
    ("state", "passed_s", "silence_s", "phase", "effects"),
    [
        (WAITING, 0, 0, Phase.WAITING, ()),
        (WAITING, PREJOINED_RENEW_S, 0, Phase.WAITING, (RenewKey(7),)),
        (replace(WAITING, key=replace(KEY, renewing=NOW)), PREJOINED_RENEW_S, 0, Phase.WAITING, ()),
        (replace(WAITING, expires=NOW), 0, 0, Phase.RETIRING, (DeleteKey(7),)),
        (WAITING, PREJOINED_LEASE_S, 0, Phase.LEAVING, (Ended("cut_off"), DeleteKey(7), Kill())),
        (replace(WAITING, expires=NOW), PREJOINED_LEASE_S, 0, Phase.LEAVING, (Ended("cut_off"), DeleteKey(7), Kill())),
        (WAITING, 0, SILENCE_S, Phase.LEAVING, (Ended("hung"), DeleteKey(7), Kill())),
        (replace(CLAIMED, expires=NOW), max(PREJOINED_LEASE_S, CLAIMED_ROOM_S - 1), 0, Phase.CLAIMED, ()),
        (CLAIMED, CLAIMED_ROOM_S, 0, Phase.LEAVING, (Ended("unused"), *LEAVES)),
        (CLAIMED, 0, SILENCE_S, Phase.LEAVING, (Ended("hung"), Kill())),
        (RETIRING, PREJOINED_LEASE_S, SILENCE_S, Phase.RETIRING, ()),
    ],
)
def test_time_passes(
    state: RoomState, passed_s: float, silence_s: float, phase: Phase, effects: tuple[RoomEffect, ...]
) -> None:
    after, done = looked(state, passed_s, silence_s)
    assert (after.phase, done) == (phase, effects)


@pytest.mark.parametrize(
    ("state", "event", "phase", "effects"),
    [
        (WAITING, methodcaller("retire", "made_way"), Phase.RETIRING, (DeleteKey(7),)),
        (RETIRING, methodcaller("retire", "drained", claimed_too=True), Phase.RETIRING, ()),
        (RETIRING, methodcaller("key_deleted", NOW, by_us=True), Phase.LEAVING, (Ended("made_way"), *LEAVES)),
        (RETIRING, methodcaller("key_deleted", NOW, by_us=False), Phase.CLAIMED, ()),
        (
            replace(RETIRING, claimed_too=True),
            methodcaller("key_deleted", NOW, by_us=False),
            Phase.LEAVING,
            (Ended("made_way"), *LEAVES),
        ),
        (RETIRING, methodcaller("renewed_key", None, NOW), Phase.RETIRING, ()),
        (RETIRING, methodcaller("job_came"), Phase.ENDED, (Ended("used"), Release())),
        (WAITING, methodcaller("renewed_key", None, NOW), Phase.CLAIMED, ()),
        (CLAIMED, methodcaller("retire", "stale"), Phase.CLAIMED, ()),
        (CLAIMED, methodcaller("retire", "drained", claimed_too=True), Phase.LEAVING, (Ended("drained"), *LEAVES)),
        (CLAIMED, methodcaller("job_came"), Phase.ENDED, (Ended("used"), Release())),
        (replace(CLAIMED, silent_s=1), methodcaller("job_came"), Phase.LEAVING, (Ended("hung"), Kill())),
        (CLAIMED, methodcaller("node_was_away"), Phase.LEAVING, (Ended("cut_off"), Kill())),
        (WAITING, methodcaller("node_was_away"), Phase.LEAVING, (Ended("cut_off"), DeleteKey(7), Kill())),
        (
            WAITING,
            methodcaller("said", Removed(duplicate=False)),
            Phase.LEAVING,
            (Ended("removed"), DeleteKey(7), *LEAVES),
        ),
        (WAITING, methodcaller("died"), Phase.ENDED, (Ended("died"), DeleteKey(7), Release())),
        (FILLING, methodcaller("fill_failed", "no_worker"), Phase.ENDED, (Ended("no_worker"), Release())),
        (FILLING, methodcaller("retire", "stale"), Phase.ENDED, (Ended("stale"), Release())),
        (FILLING, methodcaller("job_came"), Phase.FILLING, ()),
        (replace(FILLING, pid=1), methodcaller("said", Stopped(cause=Cause.JOIN_FAILED)), Phase.FILLING, ()),
        (
            replace(FILLING, pid=1, key=RoomKey(exists=True)),
            methodcaller("fill_failed", "failed"),
            Phase.LEAVING,
            (Ended("failed"), DeleteKey(0), *LEAVES),
        ),
    ],
)
def test_an_event(
    state: RoomState, event: Callable[[RoomState], RoomStep], phase: Phase, effects: tuple[RoomEffect, ...]
) -> None:
    after, done = event(state)
    assert (after.phase, done) == (phase, effects)


def test_a_worker_or_a_key_that_comes_after_the_end_goes() -> None:
    ended, _ = FILLING.fill_failed("failed")
    assert ended.worker_came(1)[1] == (Kill(),)
    assert ended.offered(9)[1] == (DeleteKey(9),)


def test_a_failed_renewal_is_tried_again_and_the_lease_counts_from_the_last_one() -> None:
    state, _ = looked(WAITING, PREJOINED_RENEW_S)
    state, _ = state.renewed_key(0, NOW + PREJOINED_RENEW_S + 2)
    assert looked(state, PREJOINED_RENEW_S + 2)[1] == (RenewKey(7),)
    assert looked(state, PREJOINED_LEASE_S)[0].phase is Phase.LEAVING
    state = replace(state, key=replace(state.key, renewing=NOW + PREJOINED_RENEW_S))
    state, _ = state.renewed_key(8, NOW + PREJOINED_RENEW_S + 2)
    assert (state.key.revision, state.key.written) == (8, NOW + PREJOINED_RENEW_S)


def test_the_oldest_unclaimed_room_makes_way_when_the_slots_do_not_suffice() -> None:
    rooms = {"joining": FILLING, "claimed": CLAIMED, "old": WAITING, "new": WAITING}
    assert room_to_evict(rooms, jobs=1, slots=5) is None
    assert room_to_evict(rooms, jobs=2, slots=5) == "old"
    assert room_to_evict({**rooms, "old": RETIRING}, jobs=2, slots=5) is None
    assert room_to_evict({"claimed": CLAIMED}, jobs=2, slots=2) is None


_messages = st.sampled_from([Ready(pid=1), Joined(), Removed(duplicate=True), Stopped(cause=Cause.ROOM_CLOSED)])
_ends = st.sampled_from(["made_way", "stale", "drained"])
Event = Callable[[RoomState, float], RoomStep]
_events: st.SearchStrategy[Event] = st.one_of(
    _messages.map(lambda message: lambda room, _: room.said(message)),
    st.floats(0, 1).map(lambda silent_s: lambda room, now: room.looked(silent_s, now, silence_limit_s=SILENCE_S)),
    st.one_of(st.none(), st.integers(0, 9)).map(lambda revision: lambda room, now: room.renewed_key(revision, now)),
    st.booleans().map(lambda by_us: lambda room, now: room.key_deleted(now, by_us=by_us)),
    st.builds(lambda end, too: lambda room, _: room.retire(end, claimed_too=too), _ends, st.booleans()),
    st.sampled_from(
        [
            lambda room, _: room.fill_failed("failed"),
            lambda room, _: room.died(),
            lambda room, now: (room.offering(now), ()),
            lambda room, _: room.offered(7),
            lambda room, _: room.job_came(),
            lambda room, _: room.node_was_away(),
        ]
    ),
)


@given(
    st.sampled_from([FILLING, WAITING, CLAIMED, RETIRING]), st.lists(st.tuples(st.floats(0, 20), _events), max_size=30)
)
def test_in_every_order_of_events(state: RoomState, events: list[tuple[float, Event]]) -> None:
    if not state.pid:
        state, _ = state.worker_came(1)
    now, done = NOW, list[RoomEffect]()
    for passed_s, event in [*events, (0.0, lambda room, _: room.node_was_away()), (0.0, lambda room, _: room.died())]:
        now += passed_s
        ended_before = state.phase in (Phase.LEAVING, Phase.ENDED)
        state, effects = event(state, now)
        done += effects
        if ended_before:
            assert not any(isinstance(effect, Ended | Leave | Kill | RenewKey) for effect in effects)
        if any(isinstance(effect, Leave | Kill) for effect in effects):
            assert state.phase is Phase.LEAVING
    assert state.phase is Phase.ENDED
    assert len([effect for effect in done if isinstance(effect, Ended)]) == 1, "a room ends once"
    assert done.count(Release()) == 1, "its slot is released once"
    assert done.index(Ended(state.end or "")) < done.index(Release())
