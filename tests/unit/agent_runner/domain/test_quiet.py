"""What is due when both sides are silent."""

from collections.abc import Callable
from operator import methodcaller

from hypothesis import given
from hypothesis import strategies as st

from agent_runner.domain.notice import Notice
from agent_runner.domain.quiet import THINKING_S, WORDLESS_S, Quiet
from tests.support.agent_runner.speech import agent_speaks, caller_speaks


def after_the_agent_spoke(prompt_s: float = 5, end_s: float = 12) -> Quiet:
    quiet = Quiet(prompt_s, end_s)
    agent_speaks(quiet, 90, 100)
    return quiet


def test_a_silent_caller_is_asked_once_and_then_the_call_ends() -> None:
    quiet = after_the_agent_spoke()
    assert quiet.due(104.9) is None
    assert quiet.due(105) == "prompt"
    quiet.agent(105.2, is_speaking=True)
    assert quiet.due(106) is None
    quiet.agent(106.5, is_speaking=False)
    assert quiet.due(111.9) is None
    assert quiet.due(112) == "end"


def test_a_caller_who_speaks_begins_anew() -> None:
    quiet = after_the_agent_spoke()
    assert quiet.due(105) == "prompt"
    quiet.caller(106, is_speaking=True)
    assert quiet.due(130) is None
    quiet.caller(131, is_speaking=False)
    assert quiet.due(135) is None
    assert quiet.due(136) == "prompt"


def test_an_answer_on_its_way_is_waited_for_but_not_for_ever() -> None:
    quiet = after_the_agent_spoke()
    caller_speaks(quiet, 101, 102)
    quiet.thinking(102.5)
    assert quiet.due(102.5 + THINKING_S - 0.1) is None
    assert quiet.due(102.5 + THINKING_S) == "end"


def test_whoever_said_words_is_not_asked_while_the_last_of_them_are_still_coming() -> None:
    quiet = after_the_agent_spoke()
    caller_speaks(quiet, 101, 102, opens_turn=True)
    assert quiet.due(108) is None
    quiet.turn_ended(109)  # the turn ended, and no word of it came
    quiet.unanswered()
    assert quiet.due(109) == "prompt"


def test_a_turn_that_does_not_end_is_not_waited_for_for_ever() -> None:
    quiet = after_the_agent_spoke()
    quiet.turn_began()
    assert quiet.due(100 + THINKING_S - 0.1) is None
    assert quiet.due(100 + THINKING_S) == "end"


def test_the_silence_begins_when_the_answer_ends() -> None:
    quiet = after_the_agent_spoke()
    quiet.thinking(101)
    quiet.agent(104, is_speaking=True)
    assert quiet.due(110) is None
    quiet.agent(111, is_speaking=False)
    assert quiet.due(115.9) is None
    assert quiet.due(116) == "prompt"


def test_a_caller_who_was_there_first_is_asked_and_the_call_ends_also_if_the_agent_never_speaks() -> None:
    quiet = Quiet(5, 60)
    quiet.present(100)
    quiet.present(104)
    assert quiet.due(100 + THINKING_S - 0.1) is None, "the first line may take so long"
    assert quiet.due(100 + THINKING_S) == "prompt"
    assert quiet.due(159.9) is None
    assert quiet.due(160) == "end"


def test_a_caller_who_waits_for_the_first_line_is_not_between_two_turns() -> None:
    quiet = Quiet(5, 12)
    quiet.away(99)
    quiet.present(100)
    assert not quiet.is_between_turns(101)
    agent_speaks(quiet, 102, 103)
    assert quiet.is_between_turns(103.1)


def test_an_absent_caller_is_not_silent() -> None:
    quiet = after_the_agent_spoke()
    quiet.away(200)
    assert quiet.due(204) is None
    assert quiet.due(205) == "prompt"


def test_nothing_is_due_before_anybody_spoke_or_when_it_is_switched_off() -> None:
    assert Quiet(1, 2).due(1000) is None
    assert after_the_agent_spoke(prompt_s=0, end_s=0).due(100_000) is None


def test_music_on_hold_is_not_silence_and_is_asked_about_once() -> None:
    quiet = after_the_agent_spoke()
    assert quiet.due(105) == "prompt"
    agent_speaks(quiet, 105, 106)
    for at in range(106, 800, 4):
        quiet.sound(at)
        assert quiet.due(at + 4) is None
    assert quiet.due(802 + 12) == "end"


def test_sound_without_a_word_for_a_quarter_of_an_hour_is_an_open_line() -> None:
    quiet = after_the_agent_spoke()
    for at in range(101, 101 + int(WORDLESS_S) + 20):
        quiet.sound(at)
        caller_speaks(quiet, at + 0.2, at + 0.7)
    assert quiet.due(101 + WORDLESS_S + 20) == "end"


def test_words_keep_a_loud_line_alive_and_let_the_agent_ask_again() -> None:
    quiet = after_the_agent_spoke()
    quiet.sound(101)
    quiet.words(900)
    quiet.sound(1_500)
    assert quiet.due(1_504) is None
    assert quiet.due(1_505) == "prompt"
    quiet.words(1_506)
    assert quiet.due(1_511) == "prompt"


def test_the_agents_own_voice_from_a_loudspeaker_is_no_sign_of_the_caller() -> None:
    quiet = after_the_agent_spoke()
    assert quiet.due(105) == "prompt"
    quiet.agent(105.2, is_speaking=True)
    quiet.caller(105.4, is_speaking=True, may_echo=True)
    assert not quiet.is_silent
    quiet.agent(106.5, is_speaking=False)
    quiet.caller(106.9, is_speaking=False)
    assert quiet.due(111.9) is None
    assert quiet.due(112) == "end"


def test_words_that_began_as_a_possible_echo_show_that_the_caller_is_there() -> None:
    quiet = after_the_agent_spoke()
    assert quiet.due(105) == "prompt"
    quiet.agent(105.2, is_speaking=True)
    quiet.caller(106.2, is_speaking=True, may_echo=True)
    quiet.agent(106.5, is_speaking=False)
    quiet.words(107)
    quiet.caller(108, is_speaking=False)
    assert quiet.due(112.9) is None
    assert quiet.due(113) == "prompt"


EVENTS: list[Callable[[float], Callable[[Quiet], None]]] = [
    lambda at: methodcaller("caller", at, is_speaking=True),
    lambda at: methodcaller("caller", at, is_speaking=True, may_echo=True),
    lambda at: methodcaller("caller", at, is_speaking=False),
    lambda at: methodcaller("agent", at, is_speaking=True),
    lambda at: methodcaller("agent", at, is_speaking=False),
    lambda at: methodcaller("thinking", at),
    lambda at: methodcaller("sound", at),
    lambda at: methodcaller("words", at),
]


@given(st.lists(st.tuples(st.floats(0, 30), st.sampled_from(EVENTS))))
def test_whatever_happened_nothing_is_due_early_and_at_last_the_silence_ends_the_call(
    story: list[tuple[float, Callable[[float], Callable[[Quiet], None]]]],
) -> None:
    quiet, never, now = Quiet(5, 12), Quiet(0, 0), 100.0
    for after_s, event in story:
        now += after_s
        for each in (quiet, never):
            event(now)(each)
        assert never.due(now + 10_000) is None
    for each in (False, False):
        quiet.caller(now, is_speaking=each)
        quiet.agent(now, is_speaking=each)
    assert quiet.due(now + 4.9) is None
    assert quiet.due(now + THINKING_S + 12) == "end"


def test_between_turns_is_after_the_answer_and_not_in_the_callers_pause_for_breath() -> None:
    quiet = Quiet(0, 0)
    assert not quiet.is_between_turns(80)  # the first line is in flight
    quiet = after_the_agent_spoke()
    assert quiet.is_between_turns(100.1)
    quiet.caller(101, is_speaking=True)
    quiet.turn_began()
    assert not quiet.is_between_turns(102)
    quiet.caller(103, is_speaking=False)
    assert not quiet.is_between_turns(103.5)  # the turn is not over yet
    quiet.turn_ended(104)
    assert not quiet.is_between_turns(104.5)
    quiet.agent(105, is_speaking=True)
    assert not quiet.is_between_turns(106)
    quiet.agent(107, is_speaking=False)
    assert quiet.is_between_turns(107.1)


def test_a_tool_that_runs_does_not_end_the_callers_turn() -> None:
    quiet = after_the_agent_spoke()
    assert quiet.is_free
    quiet.caller(101, is_speaking=True)
    quiet.turn_began()
    quiet.caller(102, is_speaking=False)
    quiet.thinking(102.2)
    assert quiet.is_silent
    assert not quiet.is_free, "a pause in what the caller says"
    quiet.turn_ended(104)
    assert quiet.is_free


def test_a_sound_that_only_pauses_the_agent_and_a_turn_without_words_hold_no_notice_back() -> None:
    quiet = Quiet(0, 0)
    quiet.agent(100, is_speaking=True)
    caller_speaks(quiet, 101, 101.5)
    quiet.agent(110, is_speaking=False)
    assert quiet.is_between_turns(110.1)
    caller_speaks(quiet, 111, 111.5, opens_turn=True)
    assert not quiet.is_between_turns(112)
    quiet.turn_ended(116.5)
    quiet.unanswered()
    assert quiet.is_between_turns(116.6)


def test_a_notice_is_said_at_once_between_turns_or_when_it_may_not_wait() -> None:
    speaking = after_the_agent_spoke()
    speaking.caller(100, is_speaking=True)

    assert Notice("Hello?", since_s=101, patience_s=12).is_due(101, after_the_agent_spoke())
    assert not Notice("Hello?", since_s=101, patience_s=12).is_due(101, speaking)
    assert Notice("Hello?", since_s=101, patience_s=0).is_due(101, speaking)


def test_a_notice_waits_for_the_turn_then_for_silence_and_then_no_longer() -> None:
    quiet, notice = after_the_agent_spoke(), Notice("Hello?", since_s=101, patience_s=12)
    caller_speaks(quiet, 100.5, 101.5, opens_turn=True)

    assert not notice.is_due(106.9, quiet)  # silence, but the turn is open
    assert notice.is_due(107, quiet)
    quiet.caller(107, is_speaking=True)
    assert not notice.is_due(112.9, quiet)
    assert notice.is_due(113, quiet)


def test_a_sound_without_an_end_that_opens_no_turn_counts_as_silence_after_15_minutes() -> None:
    quiet = Quiet(20, 60)
    quiet.present(0)
    quiet.agent(1, is_speaking=True)
    quiet.caller(2, is_speaking=True, may_echo=True)
    quiet.agent(3, is_speaking=False)
    due = {at: reaction for at in range(4, 1_000) if (reaction := quiet.due(at)) is not None}
    assert list(due.items())[:2] == [(2 + WORDLESS_S + 20, "prompt"), (2 + WORDLESS_S + 60, "end")]
