"""When an agent counts as deaf, and when as mute."""

from hypothesis import given
from hypothesis import strategies as st

from agent_runner.domain.hearing import GREETING_S, MOST_DEAF, UNANSWERED_S, Deaf, Hearing
from agent_runner.domain.muteness import MUTE_S, Muteness

RATE = 48_000  # bytes a second


def spoke(hearing: Hearing, begin: float, end: float) -> None:
    hearing.speech(begin, is_on=True)
    hearing.speech(end, is_on=False)


def test_speech_without_words_is_asked_for_once_until_words_come() -> None:
    hearing = Hearing(4)
    spoke(hearing, 10, 12)
    assert not hearing.asks_again(15.9)
    assert hearing.asks_again(16.0)
    assert not hearing.asks_again(17.0)
    spoke(hearing, 20, 22)
    assert not hearing.asks_again(100)
    hearing.words(is_final=True)
    spoke(hearing, 110, 112)
    assert hearing.asks_again(116)


def test_a_cough_and_a_sound_that_the_agent_answers_need_no_words() -> None:
    hearing = Hearing(4)
    spoke(hearing, 10, 10.4)
    assert not hearing.asks_again(100)
    hearing.speech(110, is_on=True, is_answered=True)
    hearing.speech(112, is_on=False)
    assert not hearing.asks_again(200)
    spoke(hearing, 210, 212)
    hearing.answered()
    assert not hearing.asks_again(300)


def test_words_that_come_before_the_end_of_their_speech_is_reported_are_not_asked_for() -> None:
    hearing = Hearing(4)
    hearing.speech(10, is_on=True)
    hearing.words(is_final=False)
    hearing.words(is_final=True)
    hearing.speech(12, is_on=False)
    assert not hearing.asks_again(100)
    spoke(hearing, 110, 112)
    assert hearing.asks_again(116)


def test_the_recogniser_has_its_time_from_when_it_is_asked_for_the_words() -> None:
    hearing = Hearing(4)
    hearing.speech(10, is_on=True)
    hearing.speech(12, is_on=False, ago_s=1.5)  # VAD_STOP_SECS
    assert not hearing.asks_again(17.4)
    assert hearing.asks_again(17.5)


def test_words_that_were_begun_and_lost_are_asked_for() -> None:
    hearing = Hearing(4)
    spoke(hearing, 10, 12)
    hearing.words(is_final=False)
    hearing.turn_was_empty(15)  # USER_TURN_STOP_TIMEOUT may be shorter than the wait for words
    assert not hearing.asks_again(15.9)
    assert hearing.asks_again(16)
    hearing.words(is_final=False)
    hearing.turn_was_empty(17)
    assert hearing.asks_again(17)
    spoke(hearing, 20, 22)
    hearing.words(is_final=True)
    hearing.turn_was_empty(25)
    assert not hearing.asks_again(100)


def test_partial_words_that_opened_no_turn_or_an_answered_one_are_not_asked_for_at_the_next_cough() -> None:
    hearing = Hearing(4)
    hearing.words(is_final=False, in_turn=False)  # "mm" into an answer
    spoke(hearing, 80, 80.3)
    hearing.turn_was_empty(85)
    assert not hearing.asks_again(200)
    hearing.words(is_final=True)
    hearing.words(is_final=False)
    hearing.turn_had_words()
    spoke(hearing, 280, 280.3)
    hearing.turn_was_empty(285)
    assert not hearing.asks_again(400)


def test_a_session_that_sends_nothing_is_proven_deaf_and_hopeless_after_some_in_a_row() -> None:
    hearing = Hearing(4)
    for n in range(1, MOST_DEAF + 1):
        hearing.session(10.0 * n)
        assert hearing.deaf(10 * n + GREETING_S - 0.1) is None
        deaf = hearing.deaf(10 * n + GREETING_S)
        assert deaf is not None
        assert deaf == Deaf(GREETING_S, n, is_proven=True)
        assert deaf.is_hopeless == (n == MOST_DEAF)
        assert hearing.deaf(10 * n + GREETING_S + 1) is None
    hearing.session(100)
    hearing.message()
    assert hearing.deaf(200) is None
    hearing.session(300)
    found = hearing.deaf(300 + GREETING_S)
    assert found is not None
    assert found.times == 1


def test_much_speech_without_any_message_is_worth_new_sessions_ever_less_often_until_words_come() -> None:
    """Each new session begins with a message, and has no other."""
    hearing, now, needed = Hearing(4), 0.0, list[int]()
    for _attempt in range(6):
        hearing.session(now)
        hearing.message()
        seconds, deaf = 0, None
        while deaf is None:
            spoke(hearing, now, now + 1)
            now, seconds = now + 2, seconds + 1
            deaf = hearing.deaf(now)
        needed.append(seconds)
        assert (deaf.is_proven, deaf.is_hopeless, deaf.moves) == (False, False, len(needed) > 1)
    assert needed == [8, 16, 32, 64, 64, 64]
    hearing.words(is_final=True)
    spoke(hearing, now, now + UNANSWERED_S)
    deaf = hearing.deaf(now + 20)
    assert deaf is not None
    assert not deaf.moves


def test_much_speech_without_any_message_is_worth_a_new_session() -> None:
    hearing = Hearing(4)
    spoke(hearing, 10, 10 + UNANSWERED_S / 2)
    assert hearing.deaf(20) is None
    spoke(hearing, 20, 20 + UNANSWERED_S / 2)
    assert hearing.deaf(30) == Deaf(20, 0, is_proven=False)
    spoke(hearing, 40, 40 + UNANSWERED_S)
    assert hearing.deaf(60) is None
    hearing.words(is_final=True)
    spoke(hearing, 70, 70 + UNANSWERED_S)
    assert hearing.deaf(90) is not None


@given(st.lists(st.tuples(st.floats(0.1, 600), st.floats(0.1, 600), st.booleans()), max_size=40))
def test_sound_without_words_never_proves_deafness_and_is_asked_about_once(
    sounds: list[tuple[float, float, bool]],
) -> None:
    """Hums, songs, hold music: a session that has begun with a message is never blamed for them."""
    hearing, now, asked = Hearing(4), 0.0, 0
    hearing.session(now)
    hearing.message()
    for pause_s, sound_s, is_noticed in sounds:
        spoke(hearing, now + pause_s, now + pause_s + sound_s)
        now += pause_s + sound_s
        if is_noticed:
            hearing.message()
        for later_s in (0.0, 4.0):
            deaf = hearing.deaf(now + later_s)
            assert deaf is None or not (deaf.is_proven or deaf.is_hopeless)
            asked += hearing.asks_again(now + later_s)
    assert asked <= 1


def test_speech_that_does_not_go_out_to_a_caller_who_is_there_is_muteness() -> None:
    muteness = Muteness(RATE)
    assert not muteness.is_mute(0, made=2 * RATE, sent=RATE, can_hear=True)
    assert not muteness.is_mute(0.5, made=2 * RATE, sent=RATE, can_hear=True)
    assert not muteness.is_mute(0.5 + MUTE_S - 0.1, made=2 * RATE, sent=RATE, can_hear=True)
    assert muteness.is_mute(0.5 + MUTE_S, made=2 * RATE, sent=RATE, can_hear=True)


@given(st.lists(st.tuples(st.floats(0.01, 10), st.booleans()), max_size=30))
def test_an_agent_that_sends_or_has_nothing_to_send_or_nobody_to_hear_it_is_not_mute(
    steps: list[tuple[float, bool]],
) -> None:
    muteness, now, sent = Muteness(RATE), 0.0, 0
    for step, is_speaking in steps:
        now += step
        sent += is_speaking
        assert not muteness.is_mute(now, made=sent + (RATE if is_speaking else 0), sent=sent, can_hear=True)
        now += step
        assert not muteness.is_mute(now, made=sent + RATE, sent=sent, can_hear=False)


def test_a_sound_without_words_in_a_turn_with_words_is_not_asked_for() -> None:
    hearing = Hearing(4)
    hearing.words(is_final=True)
    spoke(hearing, 10, 12)
    hearing.answered()
    assert not hearing.asks_again(100)
