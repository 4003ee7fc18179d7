"""The decisions of a worker's job, in any order of commands, faults and accidents."""

from collections.abc import Callable
from operator import methodcaller

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pipecat.frames.frames import ErrorFrame
from pipecat.utils.errors import ErrorCategory

from agent_runner.domain.job import Assigned, AwaitRejoin, CancelLastWords, EndCall, JobEffect, JobState, JobStep, Say
from agent_runner.domain.provider_health import MOST_FAILURES
from agent_runner.link.messages import (
    End,
    Ending,
    Failed,
    Faulty,
    Prejoin,
    Provider,
    Recovered,
    Rejoin,
    Removed,
    Speak,
    Unanswered,
)
from agent_runner.worker.providers.error_name import error_name
from agent_runner.worker.providers.llm import NoAnswer
from contracts.causes import Cause
from contracts.deadlines import LAST_WORDS_S, OWN_LAST_WORDS_S
from contracts.lines import lines_in
from tests.support.commands import go

Event = Callable[[JobState], JobStep]

JOB = Assigned(go("s1"), lines=lines_in("de"))
ROOM = Prejoin(session_id="s1", url="ws://livekit", token="t", caller_identity="caller:s1")

ASSIGNED: Event = methodcaller("commanded", JOB)
PREJOINED: Event = methodcaller("commanded", ROOM)
SAY: Event = methodcaller("commanded", End(how="say", text="Goodbye."))
CANCEL: Event = methodcaller("commanded", End())
REJOIN: Event = methodcaller("commanded", Rejoin())
SUPERVISOR_GONE: Event = methodcaller("supervisor_gone")


def removed(reason: str) -> Event:
    return methodcaller("removed", reason)


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
            removed("ROOM_DELETED"),
            removed("DUPLICATE_IDENTITY"),
            ended(Cause.REMOVED, "DUPLICATE_IDENTITY"),
            ended(Cause.USER_IDLE, say="Goodbye."),
        ]
    ),
    st.builds(methodcaller, st.just("lost"), st.integers(0, 9_000)),
    st.builds(methodcaller, st.sampled_from(["worked", "reconnected", "faulted"]), PROVIDERS),
    st.builds(erred, st.one_of(st.none(), PROVIDERS), st.just("error"), is_unusable=st.booleans()),
)
STORIES = st.lists(EVENTS, max_size=30)


def play(*events: Event) -> tuple[JobState, list[JobEffect]]:
    state, done = JobState(), list[JobEffect]()
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
        ([methodcaller("commanded", End(how="say", text="**Goodbye.**"))], EndCall(Cause.ENDED, say="Goodbye.")),
        ([SUPERVISOR_GONE], EndCall(Cause.ENDED, "the supervisor is gone")),
        ([removed("ROOM_CLOSED")], EndCall(Cause.ROOM_CLOSED, "ROOM_CLOSED")),
        ([removed("OTHER"), ended(Cause.REMOVED, "OTHER")], EndCall(Cause.REMOVED, "OTHER")),
        ([removed("OTHER"), REJOIN, CANCEL], EndCall(Cause.ENDED)),
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
    assert effects[1:] == [Unanswered(provider="llm", ms=0), Say(JOB.lines.sorry)] * len(failures) * 2


def test_a_caller_who_heard_a_part_of_an_answer_is_told_that_it_broke_off() -> None:
    state, _ = JobState().commanded(JOB)
    _, effects = state.erred("llm", "timeout", is_unusable=False, has_broken_off=True, name="server: X", ms=700)
    told = Unanswered(provider="llm", ms=700, broke_off=True, name="server: X")
    assert effects == (told, Say(JOB.lines.broke_off))


def test_a_caller_who_heard_nothing_of_what_the_agent_said_is_told_so_while_the_call_goes_on() -> None:
    lost: Event = methodcaller("lost", 900)
    _, effects = play(ASSIGNED, lost)
    assert effects[1:] == [Unanswered(provider="tts", ms=900, name="no audio"), Say(JOB.lines.sorry)]
    assert not any(isinstance(effect, Say) for effect in play(ASSIGNED, SAY, lost)[1])


def test_a_second_end_and_a_lost_supervisor_cancel_the_last_words() -> None:
    assert play(ASSIGNED, SAY)[1].count(CancelLastWords()) == 0
    for hurried in (SAY, CANCEL, SUPERVISOR_GONE):
        assert play(ASSIGNED, SAY, hurried)[1][-1] == CancelLastWords()


def test_a_removed_agent_waits_for_the_supervisor_which_may_send_it_back_once() -> None:
    state, effects = play(ASSIGNED, removed("DUPLICATE_IDENTITY"))
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


def test_a_lost_provider_is_told_with_the_name_of_its_error() -> None:
    try:
        raise ConnectionRefusedError("no voice for Xylophone")
    except ConnectionRefusedError as error:
        frame = ErrorFrame("no voice for Xylophone", exception=error, category=ErrorCategory.CONNECTIVITY)

    _, effects = play(ASSIGNED, methodcaller("erred", "tts", frame.error, is_unusable=True, name=error_name(frame)))

    [failed] = [effect for effect in effects if isinstance(effect, Failed)]
    assert failed.name == "connectivity: ConnectionRefusedError"
    assert error_name(ErrorFrame("Xylophone")) == "unknown"


def test_an_errors_name_has_its_cause() -> None:
    error = NoAnswer("no answer to Xylophone")
    error.__cause__ = TimeoutError("Xylophone")
    assert error_name(ErrorFrame("", exception=error)) == "unknown: NoAnswer: TimeoutError"


@pytest.mark.parametrize(
    ("cause", "words_s"),
    [
        (Cause.AGENT_ENDED, OWN_LAST_WORDS_S),
        (Cause.USER_IDLE, OWN_LAST_WORDS_S),
        (Cause.ENDED, LAST_WORDS_S),
        (Cause.PROVIDER_FAILED, LAST_WORDS_S),
    ],
)
def test_only_an_end_that_the_agent_decides_has_time_for_a_long_goodbye(cause: Cause, words_s: float) -> None:
    _, effects = play(ASSIGNED, methodcaller("ended", EndCall(cause, say="Goodbye.")))
    assert effects[1:] == [Ending(words_s=words_s), EndCall(cause, say="Goodbye.")]


def test_before_the_job_neither_faults_nor_errors_count() -> None:
    state, effects = play(PREJOINED, methodcaller("faulted", "tts"), erred("tts", "gone", is_unusable=True))
    assert effects == [ROOM]
    assert not state.health.faulty


@given(STORIES)
def test_a_job_ends_once_and_does_nothing_new_afterwards(story: list[Event]) -> None:
    state, effects = play(*story)
    endings = [at for at, effect in enumerate(effects) if isinstance(effect, Ending)]
    assert len(endings) == len(ends(*story)) == int(state.is_ending)
    if state.is_ending:
        after = effects[endings[0] + 2 :]
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
