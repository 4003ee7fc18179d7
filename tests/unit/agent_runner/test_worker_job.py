"""The decisions of a worker's job, in any order of commands, faults and accidents."""

from collections.abc import Callable
from operator import methodcaller

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_runner.domain.job import Assigned, AwaitRejoin, CancelLastWords, Effect, EndCall, JobState, Say, Step
from agent_runner.domain.provider_health import MOST_FAILURES
from agent_runner.link.messages import (
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
from contracts.causes import Cause
from contracts.lines import lines_in

Event = Callable[[JobState], Step]

JOB = Assigned(
    Go(
        session_id="s1",
        epoch=1,
        url="ws://livekit",
        token="t",
        system_prompt="Be kind.",
        voice_id="Ashley",
        caller_identity="caller:s1",
        agent_identity="agent:s1",
    ),
    lines=lines_in("de"),
)
ROOM = Prejoin(session_id="s1", url="ws://livekit", token="t", caller_identity="caller:s1")

ASSIGNED: Event = methodcaller("commanded", JOB)
PREJOINED: Event = methodcaller("commanded", ROOM)
SAY: Event = methodcaller("commanded", End(how="say", text="Goodbye."))
CANCEL: Event = methodcaller("commanded", End())
REJOIN: Event = methodcaller("commanded", Rejoin())
SUPERVISOR_GONE: Event = methodcaller("supervisor_gone")


def put_out(reason: str) -> Event:
    return methodcaller("put_out", reason)


def ended(cause: Cause, detail: str = "", say: str | None = None) -> Event:
    return methodcaller("ended", EndCall(cause, detail, say))


def erred(provider: Provider | None, text: str, *, is_unusable: bool) -> Event:
    return methodcaller("erred", provider, text, is_unusable=is_unusable)


PROVIDERS: st.SearchStrategy[Provider] = st.sampled_from(("stt", "llm", "tts"))
EVENTS: st.SearchStrategy[Event] = st.one_of(
    st.sampled_from(
        [
            PREJOINED,
            ASSIGNED,
            methodcaller("commanded", Speak(text="One minute left.")),
            CANCEL,
            SAY,
            REJOIN,
            SUPERVISOR_GONE,
            put_out("ROOM_DELETED"),
            put_out("DUPLICATE_IDENTITY"),
            ended(Cause.REMOVED, "DUPLICATE_IDENTITY"),
            ended(Cause.USER_IDLE, say="Goodbye."),
        ]
    ),
    st.builds(methodcaller, st.sampled_from(["worked", "reconnected", "faulted"]), PROVIDERS),
    st.builds(erred, st.one_of(st.none(), PROVIDERS), st.just("error"), is_unusable=st.booleans()),
)
STORIES = st.lists(EVENTS, max_size=30)


def play(*events: Event) -> tuple[JobState, list[Effect]]:
    state, done = JobState(), list[Effect]()
    for event in events:
        state, effects = event(state)
        done += effects
    return state, done


def ends(*events: Event) -> list[EndCall]:
    return [effect for effect in play(*events)[1] if isinstance(effect, EndCall)]


@pytest.mark.parametrize(
    ("events", "end"),
    [
        ([CANCEL], EndCall(Cause.ENDED)),
        ([SAY], EndCall(Cause.ENDED, say="Goodbye.")),
        ([SUPERVISOR_GONE], EndCall(Cause.ENDED, "the supervisor is gone")),
        ([put_out("ROOM_CLOSED")], EndCall(Cause.ROOM_CLOSED, "ROOM_CLOSED")),
        ([put_out("OTHER"), ended(Cause.REMOVED, "OTHER")], EndCall(Cause.REMOVED, "OTHER")),
        ([put_out("OTHER"), REJOIN, CANCEL], EndCall(Cause.ENDED)),
        ([erred("tts", "gone", is_unusable=True)], EndCall(Cause.PROVIDER_FAILED, "tts")),
        ([erred(None, "gone", is_unusable=True)], EndCall(Cause.FAILED, "gone")),
        ([erred("llm", "slow", is_unusable=False)] * MOST_FAILURES, EndCall(Cause.PROVIDER_FAILED, "llm")),
    ],
)
def test_a_call_ends_for_the_first_cause(events: list[Event], end: EndCall) -> None:
    assert ends(ASSIGNED, *events, ended(Cause.USER_IDLE)) == [end]
    assert end.with_apology == (end.cause is Cause.PROVIDER_FAILED)


def test_an_answer_resets_the_count_of_failed_ones() -> None:
    failures = [erred("llm", "slow", is_unusable=False)] * (MOST_FAILURES - 1)
    answered: Event = methodcaller("worked", "llm")
    _, effects = play(ASSIGNED, *failures, answered, *failures)
    assert effects[1:] == [Say(JOB.lines.sorry)] * len(failures) * 2


def test_a_second_end_and_a_lost_supervisor_cancel_the_last_words() -> None:
    assert play(ASSIGNED, SAY)[1].count(CancelLastWords()) == 0
    for hurried in (SAY, CANCEL, SUPERVISOR_GONE):
        assert play(ASSIGNED, SAY, hurried)[1][-1] == CancelLastWords()


def test_a_removed_agent_waits_for_the_supervisor_which_may_send_it_back_once() -> None:
    state, effects = play(ASSIGNED, put_out("DUPLICATE_IDENTITY"))
    assert effects[1:] == [Removed(duplicate=True, reason="DUPLICATE_IDENTITY"), AwaitRejoin("DUPLICATE_IDENTITY")]
    state, effects = state.commanded(Rejoin())
    assert effects == (Rejoin(),)
    assert state.commanded(Rejoin()) == (state, ())


def test_a_lost_provider_is_faulty_and_told_before_the_end() -> None:
    _, effects = play(ASSIGNED, methodcaller("faulted", "stt", 1.5), erred("stt", "gone", is_unusable=True))
    assert effects[1:] == [
        Faulty(provider="stt", ago_ms=1500),
        Faulty(provider="stt"),
        Failed(provider="stt", detail="gone"),
        Ending(),
        EndCall(Cause.PROVIDER_FAILED, "stt"),
    ]


def test_before_the_job_neither_faults_nor_errors_count() -> None:
    state, effects = play(PREJOINED, methodcaller("faulted", "tts"), erred("tts", "gone", is_unusable=True))
    assert effects == [ROOM]
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
