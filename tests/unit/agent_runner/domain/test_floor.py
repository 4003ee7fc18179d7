"""What the caller's sound and words mean."""

from itertools import pairwise
from typing import TypeAlias

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_runner.domain.floor import Floor, FloorEffect, FloorStep, Ignore, Rules, StartTurn, TakeUp
from agent_runner.domain.hold import LONGEST_SOUND_S, MOST_WORDLESS, Pause, Resume

VAD_S = 0.2
RULES = Rules(resume_after_s=0.8, echo_guard_s=1.0)


class Call:
    """A floor, and the effects so far."""

    def __init__(self, floor: Floor | None = None, *, speaking_since: float | None = 0.0) -> None:
        self.floor = floor or Floor(RULES)
        self.effects: list[FloorEffect] = []
        if speaking_since is not None:
            self.floor = self.floor.agent_began().agent_said(speaking_since, "Let me tell you")

    def take(self, step: FloorStep) -> tuple[FloorEffect, ...]:
        self.floor, effects = step
        if StartTurn() in effects:
            self.floor = self.floor.turn_began()
        self.effects += effects
        return effects

    def sound(self, began: float, ended: float) -> tuple[FloorEffect, ...]:
        """A sound between these times, as the VAD reports it."""
        found = self.take(self.floor.sound_began(began + VAD_S, VAD_S))
        while (at := self.floor.next_at) is not None and at < ended + VAD_S:
            found += self.take(self.floor.passed(at))
        return found + self.take(self.floor.sound_ended(ended + VAD_S, VAD_S))

    def wait(self) -> list[tuple[float, tuple[FloorEffect, ...]]]:
        """Let all that is due happen."""
        found: list[tuple[float, tuple[FloorEffect, ...]]] = []
        while (at := self.floor.next_at) is not None:
            found.append((at, self.take(self.floor.passed(at))))
        return found


def test_a_cough_pauses_the_agent_for_at_most_a_second_and_a_half() -> None:
    call = Call()
    assert call.sound(10, 10.5) == (Pause(),)
    ((resumed_at, effects),) = call.wait()
    assert effects == (Resume(),)
    assert resumed_at - 10.2 <= 1.5


def test_a_row_of_short_sounds_does_not_prolong_the_pause_for_ever() -> None:
    call = Call()
    at = 10.0
    while at < 20:
        call.sound(at, at + 0.25)
        at += 0.55
    since = [effect for effect in call.effects if isinstance(effect, Pause | Resume)]
    assert Resume() in since
    assert not call.floor.is_paused or call.floor.hold.until - (call.floor.hold.since or 0) <= LONGEST_SOUND_S + 0.8


def test_words_interrupt_a_paused_and_an_unpaused_agent() -> None:
    call = Call()
    call.sound(10, 11)
    assert call.take(call.floor.words(11, "Stop", is_final=False)) == (StartTurn(),)
    assert call.wait() == []
    late = Call()
    assert late.take(late.floor.words(16, "Stop it.", is_final=True)) == (StartTurn(),)


def test_a_backchannel_costs_a_short_pause_and_no_words() -> None:
    call = Call()
    call.sound(10, 10.4)
    assert call.take(call.floor.words(10.7, "mh", is_final=False)) == ()
    assert call.take(call.floor.words(10.8, "Mhm.", is_final=True)) == (Ignore(backchannel=True), Resume())
    assert call.take(call.floor.agent_ended(20)) == ()


def test_a_yes_at_the_end_of_what_the_agent_says_is_an_answer() -> None:
    call = Call()
    call.sound(10, 10.4)
    call.take(call.floor.words(10.8, "Yes.", is_final=True))
    assert call.take(call.floor.agent_ended(11.5)) == (TakeUp("Yes."),)
    assert call.take(call.floor.words(11.5, "Yes.", is_final=True)) == (StartTurn(),)


def test_a_sound_while_the_agent_thinks_holds_the_answer_and_loses_nothing() -> None:
    call = Call(speaking_since=None)
    call.sound(1, 2)
    assert call.effects == [StartTurn()]
    call.take(call.floor.words(2.3, "What time is it?", is_final=True))
    call.floor = call.floor.turn_ended(2.5)
    assert call.sound(3, 3.5) == (Pause(),)
    assert [effects for _, effects in call.wait()] == [(Resume(),)]


def test_words_are_not_asked_for_while_their_turn_or_an_answer_has_words() -> None:
    call = Call(speaking_since=None)
    call.sound(1, 2)
    assert call.floor.may_ask(3)
    call.take(call.floor.words(3, "What time is it?", is_final=True))
    assert not call.floor.may_ask(3)
    call.floor = call.floor.turn_ended(4)
    assert not call.floor.may_ask(5), "the answer is due"


def _asked_for(*, is_speaking: bool) -> Call:
    """An agent that asks for the words of a sound at 3, after it said "Red or blue?" on a loudspeaker."""
    call = Call()
    call.floor = call.floor.agent_said(0.5, "We are open from nine to five.")
    assert call.take(call.floor.words(1, "We are open from nine.", is_final=True)) == (Ignore(),)
    call.floor = call.floor.agent_said(1, "Red or blue?")
    call.take(call.floor.agent_ended(2))
    assert call.sound(3.5, 4) == (StartTurn(),)
    call.floor = call.floor.agent_prepares(8, asks=True).turn_ended(8)
    if is_speaking:
        call.floor = call.floor.agent_began().agent_said(8.3, "Sorry")
    return call


@pytest.mark.parametrize("text", ["What time is it?", "Yes.", "Red or blue."])
@pytest.mark.parametrize("is_speaking", [False, True])
def test_late_words_interrupt_the_question_for_them_whatever_they_are(text: str, *, is_speaking: bool) -> None:
    call = _asked_for(is_speaking=is_speaking)
    assert call.take(call.floor.words(8.5, text, is_final=True)) == (StartTurn(),)
    call.floor = call.floor.turn_has_words().turn_ended(9)
    assert not call.floor.may_ask(10), "the answer is due"
    call.take(call.floor.words(10, "Yes.", is_final=True))
    assert call.effects[-1] == Ignore(backchannel=True), "that was not asked for"


def test_the_echo_of_the_question_and_a_backchannel_in_a_sound_of_its_own_let_it_go_on() -> None:
    call = _asked_for(is_speaking=True)
    call.floor = call.floor.agent_said(8.6, "I didn't get that.")
    assert call.take(call.floor.words(8.9, "Sorry, I didn't get.", is_final=True)) == (Ignore(),)
    call.sound(9, 9.5)
    assert call.take(call.floor.words(9.8, "Mhm.", is_final=True))[0] == Ignore(backchannel=True)


def test_a_turn_with_partial_words_alone_is_not_answered() -> None:
    call = Call(speaking_since=None)
    call.sound(1, 2)
    call.take(call.floor.words(2, "What", is_final=False))
    call.floor = call.floor.turn_ended(7)
    assert call.floor.may_ask(7)
    assert call.sound(8, 9) == (StartTurn(),)


def test_an_idle_agent_listens_at_once_and_to_a_single_backchannel() -> None:
    call = Call(speaking_since=None)
    assert call.sound(1, 1.4) == (StartTurn(),)
    call.floor = call.floor.turn_ended(6)
    assert call.take(call.floor.words(8, "Okay.", is_final=True)) == (StartTurn(),)


def test_a_song_pauses_the_agent_for_two_seconds_twice_and_then_no_more_until_words_come() -> None:
    call = Call()
    for n in range(MOST_WORDLESS):
        assert call.sound(10 * n + 5, 10 * n + 14) == (Pause(), Resume())
    assert call.sound(40, 50) == ()
    call.take(call.floor.words(51, "Okay.", is_final=True))
    assert call.sound(60, 61)[0] == Pause()


def test_the_agents_first_second_is_guarded_against_echo_but_not_against_words() -> None:
    call = Call(speaking_since=10)
    assert call.sound(10.1, 10.5) == ()
    assert call.take(call.floor.words(10.8, "Stop.", is_final=True)) == (StartTurn(),)


def test_the_agents_own_words_from_a_loudspeaker_are_ignored_and_the_callers_are_not() -> None:
    call = Call()
    call.floor = call.floor.agent_said(10, "You can have the red one or the blue one on Monday.")
    assert call.take(call.floor.words(11, "you can", is_final=False)) == ()
    assert call.take(call.floor.words(11.5, "You can have the read one", is_final=True)) == (Ignore(),)
    assert call.take(call.floor.words(12, "Monday.", is_final=True)) == (Ignore(),)
    assert call.take(call.floor.words(13, "The blue one, please, and a receipt.", is_final=True)) == (StartTurn(),)


def test_an_echo_whose_transcript_comes_after_the_agents_end_is_ignored() -> None:
    call = Call()
    call.floor = call.floor.agent_said(10, "We are open from nine to five on Friday.")
    call.sound(9, 10.4)
    call.wait()
    call.take(call.floor.agent_ended(11.5))
    assert call.take(call.floor.words(12, "From nine to five on.", is_final=True)) == (Ignore(),)
    assert call.sound(13, 14) == (StartTurn(),)


def test_an_echo_in_a_turn_that_its_tail_opened_is_ignored_and_the_callers_words_are_not() -> None:
    call = Call()
    call.floor = call.floor.agent_said(8, "We are open from nine to five")
    assert call.take(call.floor.words(9, "We are open from nine to.", is_final=True)) == (Ignore(),)
    call.floor = call.floor.agent_said(10, "on Monday.")
    call.take(call.floor.agent_ended(10.5))
    assert call.sound(10.6, 10.9) == (StartTurn(),)
    assert call.take(call.floor.words(11.4, "nine to five on Monday.", is_final=True)) == (Ignore(),)
    assert not call.floor.has_words
    assert call.take(call.floor.words(12, "On Monday.", is_final=True)) == ()
    assert call.take(call.floor.words(13, "Nine to five on Monday?", is_final=True)) == (), "the turn has words"
    assert call.floor.has_words


def test_a_line_behind_what_the_agent_says_is_due_until_its_first_word_is_heard() -> None:
    call = Call()
    asked = call.floor.due.asked(1).answer_began(2)
    call.take(call.floor.agent_expects(2, asked))
    call.floor = call.floor.agent_prepares(3).agent_said(4, "in other words")
    call.take(call.floor.agent_expects(5, call.floor.due.answer_ended()))
    assert call.floor.due.is_open(5)
    call.floor = call.floor.agent_said(5, "Sorry")
    call.take(call.floor.agent_ended(6))
    assert call.sound(7, 8) == (StartTurn(),)


def test_a_sound_in_the_agents_speech_or_right_after_it_may_be_its_own() -> None:
    call = Call()
    call.floor = call.floor.agent_said(10, "there?")
    assert call.floor.may_echo(10)
    call.take(call.floor.agent_ended(10.4))
    assert call.floor.may_echo(10.6)
    assert not call.floor.may_echo(11.5)
    assert not Floor(RULES).may_echo(0)


def test_a_transcript_is_the_callers_unless_it_is_an_echo_or_may_become_one() -> None:
    call = Call()
    call.floor = call.floor.agent_said(10, "You can have the red one or the blue one on Monday.")
    heard = {
        "you can": True,
        "You can have the red one": True,
        "Mhm.": False,
        "Monday.": True,
        "The blue one, please, and a receipt.": False,
        "You can have the red": False,  # the turn is open
    }
    for text, is_echo in heard.items():
        call.take(call.floor.words(11, text, is_final=text.endswith((".", "one"))))
        assert call.floor.sound.is_echo == is_echo, text


def test_a_caller_who_answers_in_the_agents_words_is_heard() -> None:
    call = Call()
    call.floor = call.floor.agent_said(10, "The red one or the blue one?")
    call.take(call.floor.agent_ended(11))
    assert call.take(call.floor.words(12, "The blue one.", is_final=True)) == (StartTurn(),)


@pytest.mark.parametrize("is_known", [False, True])
def test_the_agents_words_that_a_caller_repeats_while_the_agent_thinks_are_the_callers(*, is_known: bool) -> None:
    call = Call()
    if is_known:
        call.floor = call.floor.agent_said(5, "We are open from nine to five.")
        call.take(call.floor.words(6, "We are open from nine to five.", is_final=True))
    call.floor = call.floor.agent_said(10, "Your code is four seven two nine.")
    call.take(call.floor.agent_ended(11.5))
    call.sound(12.5, 13)
    call.take(call.floor.words(13.2, "Is that", is_final=True))
    call.floor = call.floor.turn_ended(13.5)
    call.sound(14, 15)
    assert call.take(call.floor.words(15.3, "Four seven two nine?", is_final=True)) == (StartTurn(),)


def test_an_echo_while_a_filler_is_said_is_ignored_whenever_the_callers_last_sound_was() -> None:
    call = Call(speaking_since=None)
    call.sound(1, 2)
    call.take(call.floor.words(2.3, "Book a table.", is_final=True))
    call.floor = call.floor.turn_ended(2.5).agent_began().agent_said(4, "One moment please I will look.")
    assert call.take(call.floor.words(5, "One moment please I will.", is_final=True)) == (Ignore(),)


def test_after_an_echo_too_an_answer_in_the_agents_words_is_heard() -> None:
    call = Call()
    call.floor = call.floor.agent_said(10, "We are open from nine to five, on Monday or on Tuesday?")
    assert call.take(call.floor.words(11, "From nine to five on.", is_final=True)) == (Ignore(),)
    call.take(call.floor.agent_ended(12))
    assert call.take(call.floor.words(13, "To five on Monday or.", is_final=True)) == (Ignore(),), "a late transcript"
    assert call.take(call.floor.words(13.4, "On Tuesday.", is_final=True)) == (StartTurn(),)


@pytest.mark.parametrize("by", ["characters", "words", "clauses"])
def test_an_echo_is_recognised_where_no_space_separates_words(by: str) -> None:
    said = "您好，我是绿室的助手，请问有什么可以帮您？"
    call = Call()
    for part in {
        "characters": list(said),
        "words": ["您好", "，", "我是", "绿室", "的", "助手"],
        "clauses": said.split("，"),
    }[by]:
        call.floor = call.floor.agent_said(10, part)
    assert call.take(call.floor.words(11, "您好我是绿室的助手", is_final=True)) == (Ignore(),)
    assert call.floor.echo.is_known
    other = Call()
    other.floor = other.floor.agent_said(10, said)
    assert other.take(other.floor.words(11, "我是王小明，我想订位。", is_final=True)) == (StartTurn(),)


FIRST_LINE = ["We", "are", "open", "from", "nine", "to", "five", "on", "Monday"]


def _begun(at_s: float, word_s: float) -> Call:
    """An agent that began its first line at this time."""
    call = Call(speaking_since=None)
    call.floor = call.floor.agent_prepares(at_s - 1).agent_began()
    for n, word in enumerate(FIRST_LINE):
        call.floor = call.floor.agent_said(at_s + n * word_s, word)
    return call


@given(
    first=st.integers(0, 2),
    size=st.integers(1, 3),
    word_s=st.floats(0.15, 0.3),
    delay_s=st.floats(0, 0.35),
    late_s=st.floats(0.2, 2),
)
def test_the_echo_of_the_agents_first_words_is_no_answer_and_no_proof_of_an_echo(
    *, first: int, size: int, word_s: float, delay_s: float, late_s: float
) -> None:
    call = _begun(100, word_s)
    began, ended = 100 + first * word_s + delay_s, 100 + (first + size) * word_s + delay_s
    call.sound(began, ended)
    text = " ".join(FIRST_LINE[first : first + size])
    assert call.take(call.floor.words(ended + late_s / 2, text, is_final=False)) == ()
    assert call.take(call.floor.words(ended + late_s, f"{text}.", is_final=True)) == (Ignore(),)
    assert not call.floor.echo.is_known


@given(first=st.integers(0, 2), size=st.integers(1, 3), word_s=st.floats(0.15, 0.3), after_s=st.floats(0.5, 2))
def test_a_caller_who_repeats_the_agents_first_words_is_heard(
    *, first: int, size: int, word_s: float, after_s: float
) -> None:
    call = _begun(100, word_s)
    began = 100 + (first + size - 1) * word_s + after_s
    call.sound(began, began + 0.4)
    text = " ".join(FIRST_LINE[first : first + size])
    assert call.take(call.floor.words(began + 1, text, is_final=True)) == (StartTurn(),)


@pytest.mark.parametrize("text", ["We are closed.", "Open we are.", "We open.", "Hello? We are.", "Stop."])
def test_other_words_interrupt_the_agents_first_words(text: str) -> None:
    call = _begun(100, 0.2)
    call.sound(100.3, 100.9)
    assert call.take(call.floor.words(101.5, text, is_final=True)) == (StartTurn(),)


def test_without_an_echo_guard_the_agents_first_words_are_an_answer() -> None:
    call = Call(Floor(Rules(echo_guard_s=0)), speaking_since=100)
    call.sound(100.1, 100.5)
    assert call.take(call.floor.words(101, "Let me.", is_final=True)) == (StartTurn(),)


def test_a_first_echo_that_the_vad_does_not_hear_is_no_answer_either_and_only_at_first() -> None:
    call = _begun(100, 0.2)
    assert call.take(call.floor.words(102, "We are open.", is_final=True)) == (Ignore(),)
    call.floor = call.floor.agent_said(106, "Tuesday")
    assert call.take(call.floor.words(107, "Tuesday.", is_final=True)) == (StartTurn(),)


def test_a_protected_line_is_said_whole_and_the_words_are_answered_after_it() -> None:
    call = Call(Floor(RULES).protected("Let me tell you what this call is about."))
    assert call.sound(5, 6) == ()
    assert call.take(call.floor.words(6, "Hello?", is_final=False)) == ()
    assert call.take(call.floor.words(6.3, "Hello?", is_final=True)) == (Ignore(),)
    call.take(call.floor.words(8, "Is anyone there?", is_final=True))
    assert call.take(call.floor.agent_ended(15)) == (TakeUp("Hello? Is anyone there?"),)
    assert not call.floor.is_protected


def test_only_the_protected_line_is_protected_and_not_the_answer_that_follows_without_a_pause() -> None:
    call = Call(Floor(RULES).protected("Sorry, I lost you for a moment."), speaking_since=None)
    call.floor = call.floor.agent_prepares(0).agent_began()
    for word in ("Sorry", ",", " I", " lost", " you", " for", " a", " moment."):
        call.floor = call.floor.agent_said(2, word)
    assert call.sound(2.5, 3.5) == ()  # in its last word
    assert call.take(call.floor.words(4, "Where were we?", is_final=True)) == (Ignore(),)
    call.floor = call.floor.agent_said(5, "Our opening hours are")
    assert not call.floor.is_protected
    assert Pause() in call.sound(6, 6.5)
    assert call.take(call.floor.words(7, "Mhm.", is_final=True))[0] == Ignore(backchannel=True)
    assert call.take(call.floor.words(8, "Stop, that is not", is_final=False)) == (StartTurn(),)
    assert call.take(call.floor.agent_ended(8.1)) == (TakeUp("Where were we?"),)  # into the open turn


@pytest.mark.parametrize("pause_after_s", [0.2, 0.6])
def test_the_agent_pauses_after_as_much_sound_as_is_set(pause_after_s: float) -> None:
    call = Call(Floor(Rules(pause_after_s=pause_after_s, echo_guard_s=0)))
    call.take(call.floor.sound_began(10 + VAD_S, VAD_S))
    if pause_after_s > VAD_S:
        assert call.floor.next_at == pytest.approx(10 + pause_after_s)
        assert call.take(call.floor.sound_ended(10.5, VAD_S)) == ()
        assert call.wait() == []
    else:
        assert call.floor.is_paused


EVENT: TypeAlias = tuple[float, str]
EVENTS = st.lists(
    st.tuples(
        st.floats(0.01, 3),
        st.sampled_from(["on", "off", "agent on", "agent off", "mhm", "stop", "turn off", "prepares", "cut"]),
    ),
    max_size=60,
)


@given(EVENTS)
def test_a_paused_agent_always_goes_on_or_is_interrupted_and_pauses_and_resumes_alternate(events: list[EVENT]) -> None:
    call, now, is_sounding = Call(), 0.0, False
    for step_s, event in events:
        while (at := call.floor.next_at) is not None and at < now + step_s:
            call.take(call.floor.passed(at))
        now += step_s
        match event:
            case "on" if not is_sounding:
                is_sounding = True
                call.take(call.floor.sound_began(now, VAD_S))
            case "off" if is_sounding:
                is_sounding = False
                call.take(call.floor.sound_ended(now, VAD_S))
            case "agent on":
                call.floor = call.floor.agent_began()
            case "agent off":
                call.take(call.floor.agent_ended(now))
            case "mhm" | "stop":
                call.take(call.floor.words(now, event, is_final=True))
            case "turn off" if not is_sounding:
                call.floor = call.floor.turn_ended(now)
            case "prepares":
                call.floor = call.floor.agent_prepares(now)
            case "cut":
                call.floor = call.floor.interrupted()
            case _:
                pass
        if (since := call.floor.hold.since) is not None:
            assert now - since <= LONGEST_SOUND_S + RULES.resume_after_s
    call.wait()
    assert not call.floor.is_paused
    kinds = [type(effect) for effect in call.effects if isinstance(effect, Pause | Resume)]
    assert all(kind is not Resume or before is Pause for before, kind in pairwise(kinds))


def test_a_protected_line_that_was_never_heard_does_not_protect_the_next_answer() -> None:
    floor = Floor(RULES).protected("Hello, this is Max.").agent_prepares(0)
    floor, effects = floor.sound_began(31, 0.2)
    assert effects == (StartTurn(),)
    assert floor.is_protected
    assert not floor.turn_began().is_protected
