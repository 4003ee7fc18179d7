"""What the caller waits for, and what a sound means meanwhile: whatever the agent says in between, nothing is lost."""

from collections.abc import Callable

import pytest

from agent_runner.domain.due import LONGEST_S, TOOL_S, Due
from agent_runner.domain.floor import Floor, FloorEffect, FloorStep, Ignore, Rules, StartTurn, TakeUp
from agent_runner.domain.hold import Pause, Resume

VAD_S = 0.2


class Waiting:
    """A caller who has asked something; the model is asked at 10."""

    def __init__(self) -> None:
        self.floor = Floor(Rules(echo_guard_s=0))
        self.effects: list[FloorEffect] = []
        self.take(self.floor.sound_began(8, VAD_S))
        self.floor = self.floor.turn_began()
        self.take(self.floor.words(9, "Book a table.", is_final=True))
        self.floor = self.floor.turn_ended(10)

    def take(self, step: FloorStep) -> tuple[FloorEffect, ...]:
        self.floor, effects = step
        self.effects += effects
        return effects

    def expects(self, now: float, change: Callable[[Due], Due]) -> tuple[FloorEffect, ...]:
        return self.take(self.floor.agent_expects(now, change(self.floor.due)))

    def says(self, begin: float, end: float, text: str = "One moment, please.") -> tuple[FloorEffect, ...]:
        """The agent speaks between these times."""
        self.floor = self.floor.agent_began().agent_said(begin, text)
        return self.take(self.floor.agent_ended(end))

    def cough(self, at: float) -> list[FloorEffect]:
        """A sound without words, of 0.5 s."""
        before = len(self.effects)
        self.take(self.floor.sound_began(at + VAD_S, VAD_S))
        self.take(self.floor.sound_ended(at + 0.7, VAD_S))
        while (due := self.floor.next_at) is not None:
            self.take(self.floor.passed(due))
        return self.effects[before:]


def test_a_sound_after_the_filler_does_not_cancel_what_a_tool_will_bring() -> None:
    call = Waiting()
    call.expects(10.1, lambda due: due.answer_began(10.1))
    call.expects(10.5, lambda due: due.tools_began(10.5, ["a", "b"]))
    call.expects(10.6, Due.answer_ended)
    call.floor = call.floor.agent_prepares(11.5)
    call.says(12, 13)
    assert call.cough(15) == [Pause(), Resume()]
    call.expects(17, lambda due: due.tool_ended(17, "a", is_asked=True))
    call.expects(18, lambda due: due.tool_ended(18, "b", is_asked=True))
    assert call.cough(18.1) == [Pause(), Resume()]
    call.expects(18.2, lambda due: due.answer_began(18.2))
    call.says(19, 20, "Your table is number seven.")
    call.expects(20.1, Due.answer_ended)
    assert call.cough(21) == [StartTurn()]


@pytest.mark.parametrize("text", ["Sorry, I lost you for a moment.", "You have one minute left."])
def test_a_sound_after_a_bridge_or_a_notice_does_not_cancel_the_answer(text: str) -> None:
    call = Waiting()
    call.floor = call.floor.agent_prepares(10)
    call.says(10.5, 12, text)
    assert call.cough(12.5) == [Pause(), Resume()]


def test_a_model_that_stalls_in_mid_answer_is_waited_for() -> None:
    call = Waiting()
    call.expects(10.1, lambda due: due.answer_began(10.1))
    call.says(11, 15, "We have the red one")  # the output reports an end after 3 s without audio
    assert call.cough(16) == [Pause(), Resume()]


def test_an_answer_with_nothing_to_say_is_over_when_the_model_has_ended_it() -> None:
    call = Waiting()
    call.expects(10.1, lambda due: due.answer_began(10.1))
    call.expects(10.5, Due.answer_ended)
    assert call.cough(11) == [StartTurn()]


def test_a_yes_just_before_an_answer_without_words_is_an_answer() -> None:
    call = Waiting()
    call.expects(10.1, lambda due: due.answer_began(10.1))
    assert call.take(call.floor.words(10.3, "Yes.", is_final=True)) == (Ignore(backchannel=True),)
    assert call.expects(10.5, Due.answer_ended) == (TakeUp("Yes."),)
    late = Waiting()
    late.expects(10.1, lambda due: due.answer_began(10.1))
    late.take(late.floor.words(10.3, "Yes.", is_final=True))
    assert late.expects(12, Due.answer_ended) == ()


def test_a_yes_in_the_filler_is_no_answer_while_the_tool_runs() -> None:
    call = Waiting()
    call.expects(10.5, lambda due: due.tools_began(10.5, ["a"]))
    call.floor = call.floor.agent_began()
    call.take(call.floor.words(12, "Okay.", is_final=True))
    assert call.take(call.floor.agent_ended(12.3)) == ()


def answered_before_the_tool(text: str) -> Waiting:
    """The model says this at 11 to 12 and calls a tool that takes long."""
    call = Waiting()
    call.expects(10.1, lambda due: due.answer_began(10.1))
    call.expects(10.5, lambda due: due.tools_began(10.5, ["a"]))
    call.says(11, 12, text)
    call.expects(12.1, Due.answer_ended)
    return call


@pytest.mark.parametrize("text", ["Let me look. Do you want the express option?", "Tell me yes or no meanwhile."])
def test_a_yes_after_an_answer_is_answered_while_its_tool_runs(text: str) -> None:
    call = answered_before_the_tool(text)
    assert call.cough(12.5) == [Pause(), Resume()], "a sound without words is no turn"
    assert call.take(call.floor.words(14, "Yes", is_final=False)) == ()
    assert call.take(call.floor.words(14.3, "Yes.", is_final=True)) == (StartTurn(),)


@pytest.mark.parametrize("is_over_first", [False, True])
def test_a_yes_at_the_end_of_an_answer_is_taken_up_while_its_tool_runs(*, is_over_first: bool) -> None:
    call = Waiting()
    call.expects(10.1, lambda due: due.answer_began(10.1))
    call.expects(10.5, lambda due: due.tools_began(10.5, ["a"]))
    call.floor = call.floor.agent_began().agent_said(11, "Express?")
    assert call.take(call.floor.words(11.5, "Yes.", is_final=True)) == (Ignore(backchannel=True),)
    before = len(call.effects)
    if is_over_first:
        call.expects(12, Due.answer_ended)
        call.take(call.floor.agent_ended(12.1))
    else:
        call.take(call.floor.agent_ended(12))
        call.expects(12.1, Due.answer_ended)
    assert call.effects[before:] == [TakeUp("Yes.")]


def test_a_question_stays_open_over_a_filler_until_the_callers_turn() -> None:
    call = answered_before_the_tool("Do you want the express option?")
    call.floor = call.floor.agent_prepares(13.5)
    assert call.take(call.floor.words(13.6, "Okay.", is_final=True)) == (Ignore(backchannel=True),)
    call.says(14, 15.2)
    assert call.take(call.floor.words(16, "Yes.", is_final=True)) == (StartTurn(),)
    call.floor = call.floor.turn_began()
    assert call.take(call.floor.words(16.1, "Yes.", is_final=True)) == ()
    call.floor = call.floor.turn_ended(17)
    call.expects(17.1, lambda due: due.answer_began(17.1))
    call.expects(17.5, Due.answer_ended)  # it had no words
    assert call.take(call.floor.words(19, "Okay.", is_final=True)) == (Ignore(backchannel=True),)


def test_an_okay_after_the_filler_answers_no_statement() -> None:
    call = answered_before_the_tool("Let me look.")
    call.floor = call.floor.agent_prepares(13.5)
    call.says(14, 15)
    assert call.take(call.floor.words(16, "Okay.", is_final=True)) == (Ignore(backchannel=True),)


def test_the_end_of_an_older_answer_does_not_end_the_one_that_is_due() -> None:
    call = Waiting()
    call.expects(10.1, lambda due: due.answer_began(10.1))
    call.expects(10.2, lambda due: due.tool_ended(10.2, "a", is_asked=True))
    call.expects(10.3, Due.answer_ended)  # of the request that called the tool
    assert call.cough(11) == [Pause(), Resume()]


def test_words_interrupt_lines_and_answers_and_a_tool_goes_on() -> None:
    call = Waiting()
    call.expects(10.5, lambda due: due.tools_began(10.5, ["a"]))
    assert call.take(call.floor.words(11, "Hello?", is_final=True)) == (StartTurn(),)
    call.floor = call.floor.turn_began()
    assert call.floor.is_agents(11)
    call.expects(12, lambda due: due.tool_ended(12, "a", is_asked=False))
    assert not call.floor.is_agents(12)


@pytest.mark.parametrize(
    ("began", "longest_s"),
    [
        (lambda due: due.line(100), LONGEST_S),
        (lambda due: due.asked(100), LONGEST_S),
        (lambda due: due.answer_began(100), LONGEST_S),
        (lambda due: due.tools_began(100, ["a"]), TOOL_S),
    ],
)
def test_nothing_is_waited_for_for_ever(began: Callable[[Due], Due], longest_s: float) -> None:
    due = began(Due())
    assert due.is_open(100 + longest_s - 0.1)
    assert not due.is_open(100 + longest_s)


def test_a_long_answer_is_due_while_its_words_come() -> None:
    due = Due().answer_began(100)
    for at in range(101, 200, 10):
        assert due.is_open(at)
        due = due.goes_on(at, "and")
    assert not due.answer_ended().goes_on(200, "and").is_open(200)


def test_the_model_goes_on_by_itself_while_a_tool_runs_and_until_it_has_answered_from_the_result() -> None:
    due = Due().asked(10).answer_began(11).tools_began(11.5, ["a"])
    due = due.answer_ended()
    assert due.goes_on_after_tools(12)
    due = due.tool_ended(13, "a", is_asked=True)
    assert due.goes_on_after_tools(14)
    assert not due.answer_began(15).answer_ended().goes_on_after_tools(16)
    assert not due.line(14).interrupted().line(14).goes_on_after_tools(15), "a line is not the model's"
