"""What a running call needs attention for."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from agent_runner.domain.audio_flow import AudioFlow
from agent_runner.domain.hearing import GREETING_S, Deaf, Hearing
from agent_runner.domain.job import EndCall, Say
from agent_runner.domain.muteness import MUTE_S
from agent_runner.domain.notice import Notice
from agent_runner.domain.quiet import THINKING_S, Quiet
from agent_runner.domain.watch import AskAgain, Finding, Watch
from agent_runner.link.messages import Turn, Unfinished
from contracts.causes import Cause
from contracts.lines import lines_in
from tests.support.agent_runner.speech import agent_speaks

RATE = 48_000  # bytes a second
TURN = Turn(n=1, user_text="Hello", heard_text="", interrupted=True)


class Call:
    """A watch on fresh senses."""

    def __init__(self, *, prompt_s: float = 0, end_s: float = 0) -> None:
        self.hearing, self.quiet, self.flow = Hearing(4), Quiet(prompt_s, end_s), AudioFlow()
        self.watch = Watch(self.hearing, self.quiet, self.flow, bytes_per_s=RATE)
        self.watch.lines = replace(lines_in("de"), idle_prompt="Hello?", idle_goodbye="Goodbye.")

    def look(self, now: float, *, unfinished: Turn | None = None, **more: bool) -> list[Finding]:
        return list(self.watch.look(now, unfinished=unfinished, **{"caller_in_room": True, **more}))


def test_an_unfinished_turn_is_found_when_it_changes() -> None:
    call = Call()
    assert call.look(1, unfinished=TURN) == [Unfinished(turn=TURN)]
    assert call.look(2, unfinished=TURN) == []
    assert call.look(3) == []
    assert call.look(4, unfinished=TURN) == [Unfinished(turn=TURN)]
    assert call.watch.told(TURN) == TURN
    assert call.look(5, unfinished=TURN) == [Unfinished(turn=TURN)], "the supervisor forgot it at the other turn"


def test_a_line_that_the_agent_says_by_itself_is_told_by_its_name_and_an_answer_in_its_words_is_none() -> None:
    call = Call()
    asked = replace(TURN, n=2, user_text="", heard_text="hello", interrupted=False, said="line")
    [found] = call.look(1, unfinished=replace(asked, interrupted=True))
    assert isinstance(found, Unfinished)
    assert (found.turn.said, call.watch.told(asked).said) == ("idle_prompt", "idle_prompt")
    answer = replace(asked, said="answer")
    assert call.watch.told(answer) == answer


def test_a_notice_is_said_once_at_a_pause() -> None:
    call = Call()
    call.quiet.agent(0, is_speaking=True)
    assert call.watch.notices(1, Notice("Nearly over.", 1, 20)) == []
    assert call.look(2) == []
    call.quiet.agent(3, is_speaking=False)
    assert call.look(4) == [Say("Nearly over.")]
    assert call.look(30) == []


def test_a_silent_caller_is_asked_then_the_call_ends_and_an_absent_one_is_not_silent() -> None:
    call = Call(prompt_s=10, end_s=20)
    assert call.look(5, caller_in_room=False) == []
    assert call.look(14) == []
    assert call.look(15) == [Say("Hello?")]
    assert call.look(16) == []
    assert call.look(25) == [EndCall(Cause.USER_IDLE, say="Goodbye.")]


def test_a_caller_whose_network_is_lost_is_not_silent() -> None:
    call = Call(prompt_s=10, end_s=20)
    call.quiet.agent(1, is_speaking=True)
    call.quiet.agent(2, is_speaking=False)
    assert [found for at in range(3, 24) for found in call.look(at, is_unreachable=at > 8)] == []
    assert call.look(32) == []
    assert call.look(33) == [Say("Hello?")]


def test_the_silence_of_a_caller_who_hears_no_first_line_counts_from_the_first_look() -> None:
    call = Call(prompt_s=10, end_s=60)
    assert call.look(5) == []
    assert call.look(5 + THINKING_S - 0.1) == []
    assert call.look(5 + THINKING_S) == [Say("Hello?")]
    assert call.look(65) == [EndCall(Cause.USER_IDLE, say="Goodbye.")]


def test_a_caller_without_words_is_asked_once_and_the_session_is_not_blamed() -> None:
    call = Call()
    call.hearing.session(0)
    call.hearing.message()
    for at in (10, 20, 30):
        call.hearing.speech(at, is_on=True)
        call.hearing.speech(at + 1, is_on=False)
        assert call.look(at + 5) == ([AskAgain(call.watch.lines.sorry)] if at == 10 else [])


def test_a_caller_without_words_is_not_asked_while_an_answer_is_given_or_due_nor_after_it() -> None:
    call = Call()
    call.hearing.speech(10, is_on=True)
    call.hearing.speech(11, is_on=False)
    assert call.look(15, is_agents=True) == []
    assert call.look(30) == []
    call.hearing.speech(40, is_on=True)
    call.hearing.speech(41, is_on=False)
    assert call.look(45) == [AskAgain(call.watch.lines.sorry)], "the question that was not asked does not count"


def test_ten_minutes_of_music_on_hold_are_asked_about_at_most_twice_and_end_nothing() -> None:
    call = Call(prompt_s=20, end_s=60)
    call.hearing.session(0)
    agent_speaks(call.quiet, 0, 1)
    found: list[Finding] = []
    for at in range(2, 602, 5):  # 4.5 s of "speech", half a second of none
        call.hearing.message()
        for n, is_on in ((0, True), (4.5, False)):
            call.hearing.speech(at + n, is_on=is_on)
            call.quiet.caller(at + n, is_speaking=is_on)
            found += call.watch.look(at + n, unfinished=None, caller_in_room=True, loud_at=at + n)
    assert len(found) <= 2
    assert all(isinstance(finding, Say | AskAgain) for finding in found)


def test_a_session_that_sends_nothing_is_found() -> None:
    call = Call()
    call.hearing.session(0)
    assert call.look(GREETING_S) == [Deaf(GREETING_S, 1, is_proven=True)]


def test_a_paused_agent_is_not_mute() -> None:
    call = Call()
    call.flow.made(RATE)
    for now in range(1, 20):
        assert list(call.watch.look(now, unfinished=None, caller_in_room=True, is_paused=True)) == []


def test_speech_that_waits_until_the_caller_subscribes_is_no_muteness_and_what_waits_after_it_is() -> None:
    call = Call()
    call.flow.made(RATE)
    assert [found for now in range(1, 20) for found in call.look(now, is_ready=False)] == []
    assert call.look(20) == call.look(20 + MUTE_S - 0.1) == []
    assert [found.cause for found in call.look(20 + MUTE_S) if isinstance(found, EndCall)] == [Cause.FAILED]


def test_speech_that_is_not_sent_is_muteness_and_an_interruption_discards_it() -> None:
    call = Call()
    call.flow.made(RATE)
    assert call.look(1) == call.look(2) == []
    assert [found.cause for found in call.look(2 + MUTE_S) if isinstance(found, EndCall)] == [Cause.FAILED]
    call.flow.interrupted()
    assert call.look(3 + MUTE_S) == call.look(3 + 2 * MUTE_S) == []


@given(st.lists(st.one_of(st.integers(1, 9), st.sampled_from(["began", "ended", "interrupted"]))))
def test_an_agent_that_stops_speaking_leaves_nothing_unsent_once_a_part_was_sent(story: list[int | str]) -> None:
    flow = AudioFlow()
    for event in story:
        match event:
            case int():
                flow.made(2 * event)
                flow.sent(event)
            case "began":
                flow.began()
            case "ended":
                flow.ended()
            case _:
                flow.interrupted()
        assert flow.made_bytes >= flow.sent_bytes
    flow.began()
    flow.made(2)
    flow.sent(1)
    flow.ended()
    assert flow.made_bytes == flow.sent_bytes
