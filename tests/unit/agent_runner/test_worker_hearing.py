"""When an agent counts as deaf, and when as mute."""

from hypothesis import given
from hypothesis import strategies as st

from agent_runner.domain.hearing import LONGEST_S, MOST_SILENCES, Hearing
from agent_runner.domain.muteness import MUTE_S, Muteness

RATE = 48_000  # bytes a second


def spoke(hearing: Hearing, begin: float, end: float) -> None:
    hearing.speech(begin, is_on=True)
    hearing.speech(end, is_on=False)


def test_speech_without_words_is_deafness_once_the_time_for_them_is_over() -> None:
    hearing = Hearing(4)
    spoke(hearing, 10, 12)
    assert not hearing.is_deaf(15.9)
    assert hearing.is_deaf(16.0)
    assert not hearing.is_deaf(17.0)  # said once


def test_deafness_began_with_the_first_speech_that_got_no_words() -> None:
    hearing = Hearing(4)
    spoke(hearing, 1, 2)
    hearing.words()
    spoke(hearing, 10, 12)
    spoke(hearing, 14, 15)
    assert hearing.is_deaf(19)
    assert hearing.unheard_since == 10
    spoke(hearing, 30, 31)
    assert hearing.unheard_since == 30


def test_words_in_time_are_hearing_and_forget_what_was_before() -> None:
    hearing = Hearing(4)
    spoke(hearing, 10, 12)
    assert hearing.is_deaf(16)
    spoke(hearing, 20, 22)
    hearing.words()
    assert not hearing.is_deaf(100)
    assert hearing.silences == 0


def test_a_cough_needs_no_words() -> None:
    hearing = Hearing(4)
    spoke(hearing, 10, 10.4)
    assert not hearing.is_deaf(100)


def test_speech_without_an_end_is_waited_for_only_so_long() -> None:
    hearing = Hearing(4)
    hearing.speech(10, is_on=True)
    assert not hearing.is_deaf(10 + LONGEST_S - 0.1)
    assert hearing.is_deaf(10 + LONGEST_S)


def test_it_is_hopeless_after_some_silences_in_a_row() -> None:
    hearing = Hearing(1)
    for n in range(MOST_SILENCES):
        assert not hearing.is_hopeless
        spoke(hearing, 10 * n, 10 * n + 1)
        assert hearing.is_deaf(10 * n + 5)
    assert hearing.is_hopeless


def test_speech_that_does_not_go_out_to_a_caller_who_is_there_is_muteness() -> None:
    muteness = Muteness(RATE)
    assert not muteness.is_mute(0, made=2 * RATE, sent=RATE, caller_in_room=True)
    assert not muteness.is_mute(0.5, made=2 * RATE, sent=RATE, caller_in_room=True)
    assert not muteness.is_mute(0.5 + MUTE_S - 0.1, made=2 * RATE, sent=RATE, caller_in_room=True)
    assert muteness.is_mute(0.5 + MUTE_S, made=2 * RATE, sent=RATE, caller_in_room=True)


@given(st.lists(st.tuples(st.floats(0.01, 10), st.booleans()), max_size=30))
def test_an_agent_that_sends_or_has_nothing_to_send_or_nobody_to_hear_it_is_not_mute(
    steps: list[tuple[float, bool]],
) -> None:
    muteness, now, sent = Muteness(RATE), 0.0, 0
    for step, is_speaking in steps:
        now += step
        sent += is_speaking
        assert not muteness.is_mute(now, made=sent + (RATE if is_speaking else 0), sent=sent, caller_in_room=True)
        now += step
        assert not muteness.is_mute(now, made=sent + RATE, sent=sent, caller_in_room=False)
