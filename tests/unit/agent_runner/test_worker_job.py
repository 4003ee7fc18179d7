"""The decisions of a worker's job, in any order of commands, faults and accidents."""

import pytest
from agent_runner.domain.job import (
    Assigned,
    AwaitRejoin,
    Broken,
    CallerIdle,
    CancelLastWords,
    Effect,
    EndCall,
    Event,
    JobState,
    JoinFailed,
    PutOutOfRoom,
    RejoinExpired,
    SupervisorGone,
    step,
)
from agent_runner.domain.link import (
    End,
    Ending,
    Failed,
    Faulty,
    Go,
    Prejoin,
    Provider,
    Recovered,
    Rejoin,
    Removed,
    Speak,
)
from agent_runner.domain.provider_health import MOST_FAILURES, Erred, Faulted, Reconnected, Sorry, Worked
from contracts.causes import Cause
from hypothesis import given
from hypothesis import strategies as st

ASSIGNED = Assigned(
    Go(
        session_id="s1",
        epoch=1,
        url="ws://livekit",
        token="t",
        system_prompt="Be kind.",
        voice_id="Ashley",
        caller_identity="caller:s1",
        agent_identity="agent:s1",
    )
)
PREJOIN = Prejoin(session_id="s1", url="ws://livekit", token="t", caller_identity="caller:s1")
SAY = End(how="say", text="Goodbye.")

PROVIDERS = st.sampled_from(("stt", "llm", "tts"))
EVENTS: st.SearchStrategy[Event] = st.one_of(
    st.sampled_from(
        [
            PREJOIN,
            ASSIGNED,
            Speak(text="One minute left."),
            End(),
            SAY,
            Rejoin(),
            SupervisorGone(),
            JoinFailed("refused"),
            JoinFailed("refused", is_again=True),
            PutOutOfRoom("ROOM_DELETED"),
            PutOutOfRoom("DUPLICATE_IDENTITY"),
            RejoinExpired("DUPLICATE_IDENTITY"),
            CallerIdle("Goodbye."),
            Broken("the pipeline ended by itself"),
        ]
    ),
    st.builds(Worked, PROVIDERS),
    st.builds(Reconnected, PROVIDERS),
    st.builds(Faulted, PROVIDERS, st.sampled_from([0.0, 1.5])),
    st.builds(Erred, st.one_of(st.none(), PROVIDERS), st.just("error"), st.booleans()),
)
STORIES = st.lists(EVENTS, max_size=30)


def play(*events: Event) -> tuple[JobState, list[Effect]]:
    state, done = JobState(), list[Effect]()
    for event in events:
        state, effects = step(state, event)
        done += effects
    return state, done


def ends(*events: Event) -> list[EndCall]:
    return [effect for effect in play(*events)[1] if isinstance(effect, EndCall)]


@pytest.mark.parametrize(
    ("events", "end"),
    [
        ([ASSIGNED, End()], EndCall(Cause.ENDED)),
        ([ASSIGNED, SAY], EndCall(Cause.ENDED, say="Goodbye.")),
        ([ASSIGNED, SupervisorGone()], EndCall(Cause.ENDED, "the supervisor is gone")),
        ([ASSIGNED, JoinFailed("refused")], EndCall(Cause.JOIN_FAILED, "refused")),
        ([PREJOIN, JoinFailed("refused")], EndCall(Cause.JOIN_FAILED, "refused")),
        ([ASSIGNED, PutOutOfRoom("ROOM_CLOSED")], EndCall(Cause.ROOM_CLOSED, "ROOM_CLOSED")),
        ([ASSIGNED, PutOutOfRoom("OTHER"), RejoinExpired("OTHER")], EndCall(Cause.REMOVED, "OTHER")),
        ([ASSIGNED, PutOutOfRoom("OTHER"), Rejoin(), JoinFailed("no", is_again=True)], EndCall(Cause.REMOVED, "no")),
        ([ASSIGNED, CallerIdle("Bye.")], EndCall(Cause.USER_IDLE, say="Bye.")),
        ([ASSIGNED, Erred("tts", "gone", True)], EndCall(Cause.PROVIDER_FAILED, "tts")),
        ([ASSIGNED, Erred(None, "gone", True)], EndCall(Cause.FAILED, "gone")),
        ([ASSIGNED, *[Erred("llm", "slow", False)] * MOST_FAILURES], EndCall(Cause.PROVIDER_FAILED, "llm")),
    ],
)
def test_a_call_ends_for_the_cause_that_happened(events: list[Event], end: EndCall) -> None:
    assert ends(*events) == [end]
    assert end.with_apology == (end.cause is Cause.PROVIDER_FAILED)


def test_an_answer_resets_the_count_of_failed_ones() -> None:
    failures: list[Event] = [Erred("llm", "slow", False)] * (MOST_FAILURES - 1)
    _, effects = play(ASSIGNED, *failures, Worked("llm"), *failures)
    assert effects.count(Sorry()) == 2 * (MOST_FAILURES - 1)
    assert not ends(ASSIGNED, *failures, Worked("llm"), *failures)


def test_a_second_end_and_a_lost_supervisor_cancel_the_last_words() -> None:
    assert play(ASSIGNED, SAY)[1].count(CancelLastWords()) == 0
    for hurried in (SAY, End(), SupervisorGone()):
        assert play(ASSIGNED, SAY, hurried)[1][-1] == CancelLastWords()


def test_a_removed_agent_waits_for_the_supervisor_which_may_send_it_back() -> None:
    state, effects = play(ASSIGNED, PutOutOfRoom("DUPLICATE_IDENTITY"))
    assert effects[1:] == [Removed(duplicate=True, reason="DUPLICATE_IDENTITY"), AwaitRejoin("DUPLICATE_IDENTITY")]
    assert step(state, Rejoin())[1] == (Rejoin(),)
    assert not step(step(state, Rejoin())[0], Rejoin())[1]


def test_a_lost_provider_is_faulty_and_told_before_the_end() -> None:
    _, effects = play(ASSIGNED, Faulted("stt", 1.5), Erred("stt", "gone", True))
    assert effects[1:] == [
        Faulty(provider="stt", ago_ms=1500),
        Faulty(provider="stt"),
        Failed(provider="stt", detail="gone"),
        Ending(),
        EndCall(Cause.PROVIDER_FAILED, "stt"),
    ]


def test_before_the_job_neither_faults_nor_errors_count() -> None:
    state, effects = play(PREJOIN, Faulted("tts"), Erred("tts", "gone", True))
    assert effects == [PREJOIN]
    assert not state.health.faulty


@given(STORIES)
def test_a_job_ends_once_and_does_nothing_new_afterwards(story: list[Event]) -> None:
    state, effects = play(*story)
    assert effects.count(Ending()) == len(ends(*story)) == int(state.is_ending)
    if state.is_ending:
        after = effects[effects.index(Ending()) + 2 :]
        assert all(isinstance(effect, CancelLastWords | Faulty | Recovered) for effect in after)


@given(STORIES)
def test_each_job_and_each_room_is_taken_once(story: list[Event]) -> None:
    _, effects = play(*story)
    assert sum(isinstance(effect, Assigned) for effect in effects) <= 1
    assert sum(isinstance(effect, Prejoin) for effect in effects) <= 1
    assert effects.count(Rejoin()) <= sum(isinstance(effect, AwaitRejoin) for effect in effects)


@given(STORIES)
def test_a_provider_fails_once_and_recovers_only_from_a_fault(story: list[Event]) -> None:
    state, effects = play(*story)
    faulty, failed = set[Provider](), set[Provider]()
    for effect in effects:
        match effect:
            case Faulty(provider=provider):
                faulty.add(provider)
            case Recovered(provider=provider):
                assert provider in faulty - failed
                faulty.remove(provider)
            case Failed(provider=provider):
                assert provider not in failed
                failed.add(provider)
            case _:
                pass
    assert (state.health.faulty, state.health.failed) == (faulty, failed)
