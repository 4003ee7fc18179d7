"""One job, step by step: what each event does to it, and what holds in every order of events."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_runner.domain.call import EXIT_S, step
from agent_runner.domain.call_events import (
    AskLastEpoch,
    CallEffect,
    CallEvent,
    Died,
    EndAsked,
    Kill,
    LastEpoch,
    Log,
    Looked,
    NoWorkerInTime,
    Prepared,
    Release,
    Said,
    Send,
    SendGo,
    Tell,
    TellFault,
    TellHeard,
    TellReady,
    TellStarted,
    TellStopped,
    TellTick,
    TellTurn,
    WorkerTaken,
)
from agent_runner.domain.call_state import Assignment, CallState
from agent_runner.domain.credit import Credit
from agent_runner.link.messages import (
    Beat,
    Caller,
    End,
    Ending,
    Failed,
    Faulty,
    Heard,
    Joined,
    Ready,
    Recovered,
    Rejoin,
    Removed,
    Speak,
    Stopped,
    ToSupervisor,
    ToWorker,
    Turn,
    Unanswered,
    Unfinished,
    Unreachable,
)
from contracts.causes import Cause
from contracts.deadlines import LAST_WORDS_S, OWN_LAST_WORDS_S
from tests.support.agent_runner.fakes import CALL_LIMITS

LIMITS = replace(CALL_LIMITS, start_s=4.5, kill_s=6)
PID = 4711
BEAT = Beat(caller_in_room=True)
ALONE = Beat(caller_in_room=False)


class Scene:
    """A job of epoch 1 whose clock is the test's; `done` has all effects."""

    def __init__(self, *, farewell: bool = False, credit: Credit | None = None) -> None:
        self.now = 100.0
        self.state = CallState(Assignment(1, self.now, credit or Credit(), farewell=farewell))
        self.done: list[CallEffect] = []

    def feed(self, *events: CallEvent) -> None:
        for event in events:
            self.state, effects = step(self.state, event, self.now, LIMITS)
            self.done += effects

    def say(self, *messages: ToSupervisor) -> None:
        self.feed(*(Said(message) for message in messages))

    def beat(self, seconds: float, beat: Beat = BEAT) -> None:
        """Time passes with beats and looks."""
        for _ in range(int(seconds * 2)):
            self.now += 0.5
            self.say(beat)
            self.feed(Looked(0.5))

    def go(self) -> "Scene":
        self.feed(WorkerTaken(PID, "warm", 0), Prepared())
        return self

    def live(self) -> "Scene":
        """Both are in the room since `now`."""
        self.go().say(Joined(stage_ms={"connect": 5}), Caller(in_room=True))
        return self

    @property
    def told(self) -> list[Tell]:
        return [effect for effect in self.done if isinstance(effect, Tell)]

    @property
    def sent(self) -> list[ToWorker]:
        return [effect.message for effect in self.done if isinstance(effect, Send)]

    @property
    def kills(self) -> list[float]:
        return [effect.after_s for effect in self.done if isinstance(effect, Kill)]

    @property
    def ticks(self) -> list[tuple[int, int]]:
        return [(tick.served_ms, tick.fault_ms) for tick in self.told if isinstance(tick, TellTick)]

    @property
    def spoken(self) -> list[tuple[str, float]]:
        return [(message.text, message.patience_s) for message in self.sent if isinstance(message, Speak)]

    @property
    def stopped(self) -> TellStopped:
        (stopped,) = (told for told in self.told if isinstance(told, TellStopped))
        return stopped


def test_ticks_come_every_five_seconds_and_the_end_counts_to_its_instant() -> None:
    scene = Scene().live()
    scene.beat(12)
    scene.now += 0.25
    scene.feed(EndAsked("ended"))
    scene.now += 5
    scene.say(BEAT, Stopped(cause=Cause.ENDED))
    scene.feed(Died())
    assert scene.ticks == [(5000, 0), (10_000, 0)]
    assert scene.stopped == TellStopped("ended", 12_250, 0)
    assert scene.sent == [End(how="cancel")]
    assert scene.kills == [LIMITS.kill_s, EXIT_S]
    assert scene.done[-1] == Release()


def test_the_time_in_which_a_provider_failed_is_told_beside_the_served_time() -> None:
    scene = Scene().live()
    scene.beat(4)
    scene.say(Faulty(provider="stt", ago_ms=1_500))
    scene.beat(2)
    scene.say(Faulty(provider="llm"), Recovered(provider="stt"))
    scene.beat(1)
    scene.say(Recovered(provider="llm"))
    scene.beat(5)
    assert scene.ticks == [(5_000, 2_500), (10_000, 4_500)]
    scene.say(Faulty(provider="tts"))
    scene.beat(1)
    scene.feed(EndAsked("ended"))
    scene.say(Recovered(provider="tts"), Faulty(provider="stt", ago_ms=9_000), Stopped(cause=Cause.ENDED))
    scene.feed(Died())
    assert scene.stopped == TellStopped("ended", 13_000, 5_500)


def test_a_providers_fault_is_told_when_it_begins_and_when_it_ends() -> None:
    scene = Scene().live()
    scene.say(Faulty(provider="stt", ago_ms=1_500), Faulty(provider="stt"), Faulty(provider="tts"))
    scene.beat(2)
    scene.say(Recovered(provider="stt"), Failed(provider="tts", detail="the caller said Xylophone"))

    assert [told for told in scene.told if isinstance(told, TellFault)] == [
        TellFault(1, "stt", "silent", None),
        TellFault(2, "tts", "silent", None),
        TellFault(3, "stt", "silent", 3_500),
        TellFault(4, "tts", "unusable", None),
    ]
    assert "Xylophone" not in str([effect for effect in scene.done if isinstance(effect, Log)])


def test_an_answer_that_failed_is_told_with_its_error_and_its_time() -> None:
    scene = Scene().live()
    scene.say(
        Unanswered(provider="llm", ms=2_400, name="server: NoAnswer"),
        Unanswered(provider="llm", ms=900, broke_off=True),
    )

    assert [told for told in scene.told if isinstance(told, TellFault)] == [
        TellFault(1, "llm", "unanswered", 2_400, "server: NoAnswer"),
        TellFault(2, "llm", "broke_off", 900),
    ]


def test_a_lost_network_is_told_and_its_time_is_billed() -> None:
    scene = Scene().live()
    scene.beat(2)
    scene.say(Unreachable(ms=1_250))
    scene.beat(3)
    scene.say(Unreachable(end="back", ms=3_200, again_ms=1_400))
    scene.beat(5)

    assert [told for told in scene.told if isinstance(told, TellFault)] == [
        TellFault(1, "network", "lost", None),
        TellFault(2, "network", "lost", 3_200, again_ms=1_400),
    ]
    assert scene.ticks == [(5_000, 0), (10_000, 0)]


TURN = Turn(n=1, user_text="Tell me a story", heard_text="Once upon", interrupted=True)


def test_a_turn_is_told_as_it_was_heard() -> None:
    scene = Scene().live()
    scene.say(TURN)
    assert scene.told[-1] == TellTurn(TURN, budget_ms=1200)


def test_a_turn_over_its_budget_names_the_stage_to_blame_and_no_words() -> None:
    scene = Scene().live()
    slow = replace(TURN, stage_ms={"endpointing": 300, "llm": 1500, "tts": 200, "total": 2000})
    scene.say(slow)
    assert scene.done[-2:] == [
        TellTurn(slow, budget_ms=1200, over_budget="llm"),
        Log("turn.over_budget", {"n": 1, "stage": "llm", "ms": 1500, "total_ms": 2000, "budget_ms": 1200}),
    ]


def test_the_turn_in_progress_at_a_death_is_told() -> None:
    scene = Scene().live()
    scene.say(Unfinished(turn=replace(TURN, heard_text="")), Unfinished(turn=TURN))
    scene.feed(Died())
    assert scene.told[-2:] == [TellTurn(TURN), TellStopped("crashed", 0, 0)]


@pytest.mark.parametrize(
    ("then", "turns"),
    [
        (Said(replace(TURN, heard_text="Once upon a time.", interrupted=False)), ["Once upon a time."]),
        (Said(Stopped(cause=Cause.ROOM_CLOSED)), []),
        (EndAsked("superseded"), []),
    ],
    ids=["finished", "stopped", "superseded"],
)
def test_an_unfinished_turn_is_told_only_for_a_worker_that_could_not_finish_it(
    then: CallEvent, turns: list[str]
) -> None:
    scene = Scene().live()
    scene.say(Unfinished(turn=TURN))
    scene.feed(then, Died())
    assert [told.turn.heard_text for told in scene.told if isinstance(told, TellTurn)] == turns


def test_a_worker_that_decides_to_end_and_does_not_is_killed_as_one_that_was_told_to() -> None:
    scene = Scene().live()
    scene.say(Ending())
    assert scene.kills == [LIMITS.kill_s]


def test_a_longer_goodbye_of_the_agents_own_gets_its_time() -> None:
    scene = Scene().live()
    scene.say(Ending(words_s=OWN_LAST_WORDS_S))
    assert scene.kills == [LIMITS.kill_s + OWN_LAST_WORDS_S - LAST_WORDS_S]


def test_a_fault_without_an_end_lasts_to_the_workers_death() -> None:
    scene = Scene().live()
    scene.beat(4)
    scene.say(Faulty(provider="tts"))
    scene.beat(3)
    scene.feed(Died())
    assert scene.stopped == TellStopped("crashed", 7_000, 3_000)


def test_while_the_caller_is_away_no_fault_time_goes_by() -> None:
    scene = Scene().live()
    scene.beat(2)
    scene.say(Faulty(provider="tts"), Caller(in_room=False))
    for _ in range(10):
        scene.now += 1
        scene.say(ALONE)
    scene.say(Caller(in_room=True))
    scene.beat(1)
    scene.feed(EndAsked("ended"))
    assert (scene.state.served_ms, scene.state.fault_ms) == (3_000, 1_000)


def test_an_end_before_there_is_a_worker_takes_effect_at_once() -> None:
    scene = Scene()
    scene.feed(EndAsked("ended"))
    assert scene.told == [TellStopped("ended", 0, 0)]
    assert scene.done[-1] == Release()


def test_without_a_worker_in_time_the_job_is_given_back() -> None:
    scene = Scene()
    scene.feed(NoWorkerInTime("none"))
    assert scene.stopped.cause == "start_failed"


def test_a_stall_bills_nothing_of_the_silence() -> None:
    scene = Scene().live()
    scene.beat(3)
    for _ in range(3):
        scene.now += 0.5
        scene.feed(Looked(0.5))
    assert scene.kills == [0]
    scene.feed(Died())
    assert scene.stopped == TellStopped("stalled", 3000, 0)


def test_our_own_pause_kills_no_worker() -> None:
    scene = Scene().live()
    scene.now += 60
    scene.feed(Looked(0.5), Said(BEAT), Looked(0.5))
    assert scene.kills == []


def test_a_session_that_the_scheduler_does_not_end_ends_itself() -> None:
    scene = Scene().live()
    scene.now += 1830
    scene.feed(Looked(0.25), Died())
    assert scene.stopped.cause == "session_timeout"


def test_a_worker_that_does_not_join_is_killed() -> None:
    scene = Scene().go()
    scene.now += 15
    scene.feed(Looked(0.25))
    assert scene.kills == [0]
    scene.feed(Died())
    assert scene.stopped.cause == "join_failed"


def test_a_worker_that_has_not_joined_may_be_silent_for_longer() -> None:
    scene = Scene().go()
    scene.feed(Looked(LIMITS.joining_silence_s - 0.1))
    assert scene.kills == []
    scene.feed(Looked(0.1))
    assert (scene.kills, scene.state.cause) == ([0], "stalled")


def test_a_failed_provider_is_named_in_the_cause() -> None:
    scene = Scene().live()
    scene.say(Failed(provider="tts", detail="401"), Stopped(cause=Cause.PROVIDER_FAILED, detail="tts"))
    scene.feed(Died())
    assert scene.stopped.cause == "provider_failed:tts"


@pytest.mark.parametrize(
    ("last_epoch", "answer", "cause"),
    [(1, Rejoin(), None), (None, End(how="cancel"), "removed"), (0, End(how="cancel"), "removed")],
)
def test_a_removed_agent_comes_back_only_for_the_last_epoch(
    last_epoch: int | None, answer: ToWorker, cause: str | None
) -> None:
    scene = Scene().live()
    scene.say(Removed(duplicate=True))
    assert scene.done[-1] == AskLastEpoch()
    scene.feed(LastEpoch(last_epoch, removed=True))
    assert scene.sent == [answer]
    assert scene.state.cause == cause


def test_an_agent_that_livekit_removed_for_another_reason_ends() -> None:
    scene = Scene().live()
    scene.say(Removed(duplicate=False))
    assert (scene.sent, scene.state.cause) == ([End(how="cancel")], "removed")


def test_a_superseded_agent_is_killed_as_leaving_in_order_would_put_its_successor_out() -> None:
    scene = Scene().live()
    scene.beat(2)
    scene.say(Removed(duplicate=True))
    scene.feed(LastEpoch(2, removed=True))
    assert (scene.kills, scene.sent) == ([0], [])
    scene.feed(Died())
    assert scene.stopped == TellStopped("superseded", 2000, 0)


def test_a_fence_ends_only_an_older_epoch() -> None:
    scene = Scene().live()
    scene.feed(LastEpoch(1), LastEpoch(None))
    assert (scene.sent, scene.state.cause) == ([], None)
    scene.feed(LastEpoch(2))
    assert scene.state.cause == "superseded"


def test_the_first_sound_tells_every_stage() -> None:
    scene = Scene().go()
    scene.now += 0.2
    scene.say(Joined(stage_ms={"join": 110}), Caller(in_room=True))
    scene.now += 0.1
    scene.say(Heard(stage_ms={"join": 110, "tts_connected": 40}))
    ready = {"pool_wait": 0, "go": 0, "join": 110, "joined": 200}
    assert scene.told == [
        TellReady(PID, ready),
        TellStarted(),
        TellHeard({**ready, "tts_connected": 40, "heard": 300}),
    ]


def test_time_out_of_the_room_is_not_served() -> None:
    scene = Scene().live()
    scene.beat(2)
    scene.say(Removed(duplicate=True))
    scene.beat(2)
    scene.say(Joined())
    scene.beat(1)
    assert scene.state.served_ms == 3000
    assert len([told for told in scene.told if isinstance(told, TellReady)]) == 1


def test_the_session_starts_once_after_the_agent_is_ready() -> None:
    scene = Scene().go()
    scene.say(Caller(in_room=True), Joined(), Caller(in_room=False), Caller(in_room=True))
    assert [type(told) for told in scene.told] == [TellReady, TellStarted]


def test_a_farewell_is_said_to_any_caller_and_costs_nothing() -> None:
    scene = Scene(farewell=True).go()
    scene.say(Caller(in_room=True), Joined())
    assert scene.sent == [End(how="say", text="Goodbye.")]
    scene.beat(3)
    scene.say(Stopped(cause=Cause.ENDED))
    scene.feed(Died())
    assert [type(told) for told in scene.told] == [TellReady, TellStopped]
    assert scene.stopped == TellStopped("farewell", 0, 0)


def test_only_the_schedulers_next_end_cuts_a_last_sentence() -> None:
    scene = Scene().live()
    scene.beat(2)
    scene.feed(EndAsked("ended", "Time is up."))
    scene.beat(3)
    scene.feed(EndAsked("drained"), EndAsked("ended", "Time is up."))
    assert scene.sent == [End(how="say", text="Time is up.")]
    scene.feed(EndAsked("ended"))
    assert scene.sent[-1] == End(how="cancel")
    scene.say(Stopped(cause=Cause.ENDED))
    scene.feed(Died())
    assert scene.stopped == TellStopped("ended", 2000, 0)


ONE_MINUTE = Credit(granted_minutes=1)


def test_a_limited_call_is_warned_once_at_twenty_seconds_and_ends_half_a_second_early() -> None:
    scene = Scene(credit=ONE_MINUTE).live()
    scene.beat(39.5)
    assert scene.spoken == []

    scene.beat(19.5)
    assert scene.spoken == [("Time is almost up.", 12.0)]
    assert scene.state.cause is None

    scene.beat(0.5)
    assert scene.sent[-1] == End(how="cancel")
    scene.feed(Died())
    assert scene.stopped == TellStopped("credit_spent", 59_500, 0)


def test_between_two_beats_the_clock_counts_on() -> None:
    scene = Scene(credit=ONE_MINUTE).live()
    scene.beat(59)
    scene.now += 0.5
    scene.feed(Looked(0.25))
    assert (scene.state.cause, scene.state.served_ms) == ("credit_spent", 59_500)


def test_fault_time_does_not_count_towards_the_limit_and_no_warning_goes_into_it() -> None:
    scene = Scene(credit=ONE_MINUTE).live()
    scene.beat(39)
    scene.say(Faulty(provider="tts", ago_ms=0))
    scene.beat(60)
    assert (scene.spoken, scene.state.cause) == ([], None)

    scene.say(Recovered(provider="tts"))
    scene.beat(1)
    assert scene.spoken == [("Time is almost up.", 12.0)]
    scene.beat(19.5)
    scene.feed(Died())
    assert scene.stopped == TellStopped("credit_spent", 119_500, 60_000)


def test_the_time_without_a_caller_does_not_count() -> None:
    scene = Scene(credit=ONE_MINUTE).live()
    scene.beat(45)
    scene.say(Caller(in_room=False))
    scene.beat(60, ALONE)
    assert (scene.state.cause, scene.state.served_ms) == (None, 45_000)


def test_a_successor_ends_when_the_sum_is_spent() -> None:
    scene = Scene(credit=Credit(granted_minutes=1, before_ms=30_000)).live()
    scene.beat(29)
    assert (scene.state.cause, len(scene.spoken)) == (None, 1)
    scene.beat(0.5)
    assert (scene.state.cause, scene.state.served_ms) == ("credit_spent", 29_500)


def test_a_call_without_a_limit_is_neither_warned_nor_ended() -> None:
    scene = Scene().live()
    scene.beat(300)
    assert (scene.spoken, scene.state.cause) == ([], None)


# --- any order of deaths, commands and silences

_ms = st.dictionaries(st.sampled_from(["join", "tts"]), st.integers(0, 500), max_size=2)
_provider = st.sampled_from(["stt", "llm", "tts"])
_messages = st.one_of(
    st.just(Ready(pid=PID)),
    st.builds(Beat, caller_in_room=st.booleans()),
    st.builds(Caller, in_room=st.booleans()),
    st.builds(Joined, stage_ms=_ms),
    st.builds(Heard, stage_ms=_ms),
    st.just(TURN),
    st.just(Unfinished(turn=TURN)),
    st.just(Ending()),
    st.builds(Faulty, provider=_provider, ago_ms=st.integers(0, 5000)),
    st.builds(Recovered, provider=_provider),
    st.builds(Failed, provider=_provider, detail=st.just("401")),
    st.builds(Unreachable, end=st.sampled_from(["", "back", "left", "given_up"]), ms=st.integers(0, 25_000)),
    st.builds(Removed, duplicate=st.booleans()),
    st.builds(Stopped, cause=st.sampled_from([Cause.ENDED, Cause.ROOM_CLOSED, Cause.PROVIDER_FAILED])),
)
_THE_END: list[tuple[float, CallEvent]] = [(0.0, EndAsked("ended")), (0.0, Died())]
_epochs = st.one_of(st.none(), st.integers(0, 2))
_causes = st.sampled_from(["ended", "drained", "superseded", "failed"])
_events = st.lists(
    st.tuples(
        st.floats(0, 8),
        st.one_of(
            st.builds(Said, _messages),
            st.builds(Looked, st.floats(0, 0.5)),
            st.builds(EndAsked, _causes, st.one_of(st.none(), st.just("Bye."))),
            st.builds(LastEpoch, _epochs, st.booleans()),
            st.just(Prepared()),
            st.just(NoWorkerInTime("none")),
            st.just(Died()),
        ),
    ),
    max_size=40,
)


def _fits(event: CallEvent, *, has_worker: bool) -> bool:
    """Without a worker there are no messages and no death; with one, the wait for it has ended."""
    if isinstance(event, Said | Prepared | Died) or (isinstance(event, LastEpoch) and event.removed):
        return has_worker
    return not (has_worker and isinstance(event, NoWorkerInTime))


@given(st.integers(0, 40), st.booleans(), st.sampled_from([Credit(), ONE_MINUTE]), _events)
def test_in_every_order_of_events(
    taken_at: int, farewell: bool, credit: Credit, events: list[tuple[float, CallEvent]]
) -> None:
    scene = Scene(farewell=farewell, credit=credit)
    waiting = [event for event in events[:taken_at] if _fits(event[1], has_worker=False)]
    working = [event for event in events[taken_at:] if _fits(event[1], has_worker=True)]
    announced = False
    for passed_s, event in [*waiting, (0.0, WorkerTaken(PID, "warm", 0)), *working, *_THE_END]:
        before, effects_before = scene.state, len(scene.done)
        scene.now += passed_s
        scene.feed(event)
        after, effects = scene.state, scene.done[effects_before:]
        announced = announced or (isinstance(event, Said) and isinstance(event.message, Ending | Stopped))

        assert after.served_ms >= before.served_ms
        assert after.fault_ms <= after.served_ms
        assert after.served_ms - before.served_ms <= 1000, "one observation adds a second at most"
        if before.cause is not None:
            assert after.cause == before.cause, "the first decision stands"
            assert after.served_ms == before.served_ms, "served time never grows after the end is decided"
        if before.has_ended:
            assert (after, effects) == (before, [])
        if any(isinstance(effect, Kill) for effect in effects):
            assert after.cause is not None or announced, "every kill has a reason"
        if any(isinstance(effect, Send | SendGo | Kill) for effect in effects):
            assert after.worker.pid, "no message without a worker"
        assert len([effect for effect in effects if isinstance(effect, Kill) and not effect.after_s]) <= 1
    assert scene.state.has_ended
    assert scene.stopped.served_ms == scene.state.served_ms
    assert scene.done[-1] == Release()
    assert scene.done.count(Release()) == 1
    for once in (TellReady, TellStarted):
        assert len([told for told in scene.told if isinstance(told, once)]) <= 1
