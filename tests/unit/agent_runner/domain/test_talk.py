"""What becomes a turn, and what the rules of speaking are."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from agent_runner.domain.prompt import CRITICAL_RULES, system_instruction
from agent_runner.domain.talk import Marks, Talk
from agent_runner.domain.turn_budget import SHARES
from agent_runner.link.messages import Turn


def turn(n: int, user: str, agent: str, *, interrupted: bool = False) -> Turn:
    """Turn 0 is a line of the agent's own, the others are answers."""
    said = "answer" if n else "line"
    return Turn(n=n, user_text=user, heard_text=agent, interrupted=interrupted, said=said)


def line(n: int, agent: str, *, interrupted: bool = False) -> Turn:
    return replace(turn(n, "", agent, interrupted=interrupted), said="line")


def test_the_opening_line_is_turn_0_and_counts_whole() -> None:
    talk = Talk()
    talk.open_with("Hello there.")
    talk.heard("Hello")
    talk.heard("there.")
    assert talk.opening_ended(interrupted=False) == turn(0, "", "Hello there.")
    assert talk.opening_ended(interrupted=False) is None


def test_an_interrupted_opening_line_counts_as_far_as_it_was_heard() -> None:
    talk = Talk()
    talk.open_with("Hello there, my friend.")
    talk.heard("Hello ")
    talk.heard("there,")
    assert talk.opening_ended(interrupted=True) == turn(0, "", "Hello there,", interrupted=True)


def test_words_of_a_script_without_spaces_are_heard_without() -> None:
    talk = Talk()
    talk.open_with("您好，我是小明。有什么可以帮您？")
    for words in ("您好，", "我", "是", "小明。"):
        talk.heard(words, includes_spaces=True)
    unfinished = talk.so_far()
    assert unfinished is not None
    assert unfinished.heard_text == "您好，我是小明。"
    assert talk.opening_ended(interrupted=True) == turn(0, "", "您好，我是小明。", interrupted=True)


def test_an_exchange_counts_from_1_with_or_without_an_opening_line() -> None:
    talk = Talk()
    assert talk.user_said("what time is it ") is None
    assert talk.agent_said(" It is noon.", interrupted=False) == turn(1, "what time is it", "It is noon.")
    talk.user_said("thanks")
    assert talk.agent_said("Bye.", interrupted=False) == turn(2, "thanks", "Bye.")


def test_an_unfinished_turn_is_known_as_far_as_it_came() -> None:
    talk = Talk()
    assert talk.so_far() is None
    talk.user_said("what time is it")
    assert talk.so_far() == turn(1, "what time is it", "", interrupted=True)
    talk.heard("It ")
    talk.heard("is")
    assert talk.so_far() == turn(1, "what time is it", "It is", interrupted=True)
    talk.agent_said("It is noon.", interrupted=False)
    assert talk.so_far() is None


@given(
    st.lists(st.sampled_from(["user", "word", "agent", "opening"]), max_size=12),
    st.booleans(),
)
def test_an_unfinished_turn_has_the_number_that_it_will_have(steps: list[str], has_opening: bool) -> None:
    talk = Talk()
    if has_opening:
        talk.open_with("Hello there.")
    for step in steps:
        before = talk.so_far()
        match step:
            case "user":
                over = talk.user_said("what time is it")
            case "word":
                talk.heard("noon")
                continue
            case "agent":
                over = talk.agent_said("It is noon.", interrupted=False)
            case _:
                over = talk.opening_ended(interrupted=True)
        if before is not None and over is not None:
            assert (over.n, over.user_text) == (before.n, before.user_text)


def test_a_bridge_line_is_turn_0() -> None:
    talk = Talk()
    assert talk.line_said("Sorry, go on.", interrupted=False) == line(0, "Sorry, go on.")
    assert talk.agent_said("It is noon.", interrupted=False) == turn(1, "", "It is noon.")


def test_an_answer_to_the_question_of_the_epoch_before_is_never_turn_0() -> None:
    talk = Talk()
    talk.heard("I am back.", "line")
    assert talk.number == 1, "a tool may be called for it while the bridge is said"
    assert talk.so_far() == line(0, "I am back.", interrupted=True)
    assert Talk().agent_said("It is noon.", interrupted=False) == turn(1, "", "It is noon."), "the bridge was lost"


def test_a_line_before_the_answer_to_the_question_of_the_epoch_before_has_a_number_behind_the_answer_s() -> None:
    talk = Talk()
    talk.owe()
    talk.heard("I am back.", "line")
    assert talk.so_far() == line(0, "I am back.", interrupted=True)
    assert talk.line_said("I am back.", interrupted=False) == line(0, "I am back.")
    talk.heard("Our time", "line")
    assert talk.so_far() == line(2, "Our time", interrupted=True)
    assert talk.line_said("Our time is almost up.", interrupted=False) == line(2, "Our time is almost up.")
    assert talk.number == 1, "of a tool that is called for the answer"
    assert talk.line_said("Are you still there?", interrupted=False) == line(3, "Are you still there?")
    assert talk.agent_said("", interrupted=True) is None, "a request that was cancelled"
    assert talk.agent_said("Booked.", interrupted=False) == turn(1, "", "Booked.")
    assert talk.line_said("Goodbye.", interrupted=False) == line(4, "Goodbye.")


def test_the_line_that_says_that_the_answer_failed_stands_for_it_also_behind_another_line() -> None:
    talk = Talk()
    talk.owe()
    talk.line_said("I am back.", interrupted=False)
    talk.line_said("Our time is almost up.", interrupted=False)
    assert talk.agent_said("", interrupted=False) is None
    assert talk.line_said("Sorry, please ask again.", interrupted=False) == line(1, "Sorry, please ask again.")
    talk.user_said("book it")
    assert talk.agent_said("Booked.", interrupted=False) == turn(3, "book it", "Booked.")


def test_another_question_comes_behind_the_lines_before_it_and_the_one_of_the_epoch_before_is_over() -> None:
    talk = Talk()
    talk.owe()
    talk.line_said("I am back.", interrupted=False)
    talk.line_said("Our time is almost up.", interrupted=False)
    talk.user_said("book it now")
    assert talk.so_far() == turn(3, "book it now", "", interrupted=True)
    assert talk.agent_said("Booked.", interrupted=False) == turn(3, "book it now", "Booked.")
    assert talk.line_said("Goodbye.", interrupted=False) == line(4, "Goodbye.")


def test_what_nobody_answered_is_a_turn_in_which_nothing_was_heard() -> None:
    talk = Talk()
    talk.user_said("hello")
    assert talk.user_said("are you there") == turn(1, "hello", "", interrupted=True)
    assert talk.agent_said("Yes.", interrupted=False) == turn(2, "are you there", "Yes.")


def test_an_answer_cut_by_the_end_counts_as_far_as_it_was_heard() -> None:
    talk = Talk()
    talk.user_said("count")
    talk.heard("One")
    talk.heard("two")
    assert talk.cut() == (turn(1, "count", "One two", interrupted=True),)
    assert talk.cut() == ()


def test_a_turn_of_silence_is_none() -> None:
    talk = Talk()
    talk.user_said("  ")
    assert talk.agent_said("", interrupted=True) is None
    assert talk.cut() == ()


def test_an_opening_line_of_which_nothing_was_heard_is_no_turn() -> None:
    talk = Talk()
    talk.open_with("Hello.")
    assert talk.cut() == ()


def test_late_words_of_the_opening_line_and_those_of_a_filler_are_in_no_turn() -> None:
    talk = Talk()
    talk.open_with("Hello there.")
    talk.heard("Hello", "aside")
    talk.opening_ended(interrupted=False)
    talk.heard("there.", "aside")
    assert talk.so_far() is None
    talk.user_said("book it")
    talk.heard("One moment, please.", "aside")
    assert talk.so_far() == turn(1, "book it", "", interrupted=True)
    talk.heard("Booked.")
    assert talk.cut() == (turn(1, "book it", "Booked.", interrupted=True),)


def test_a_line_while_a_question_is_open_is_a_turn_of_its_own_and_the_question_stays_open() -> None:
    talk = Talk()
    talk.user_said("book it")
    talk.heard("Our time", "line")
    assert talk.so_far() == turn(1, "book it", "", interrupted=True), "which a successor answers"
    assert talk.line_said("Our time is almost up.", interrupted=False) == line(2, "Our time is almost up.")
    assert talk.number == 1
    assert talk.line_said("", interrupted=True) is None, "the voice lost it"
    assert talk.agent_said("Booked.", interrupted=False) == turn(1, "book it", "Booked.")
    assert talk.line_said("Goodbye.", interrupted=False) == line(3, "Goodbye.")


def test_what_the_model_says_before_and_after_a_tool_s_result_is_one_turn_and_a_line_between_comes_behind() -> None:
    talk = Talk()
    talk.user_said("book it")
    talk.heard("Let me see.")
    assert talk.agent_said("Let me see.", interrupted=False, goes_on=True) is None
    assert talk.so_far() == turn(1, "book it", "Let me see.", interrupted=True), "which a successor answers"
    assert talk.number == 1, "of another tool that is called for the answer"
    assert talk.line_said("Our time is almost up.", interrupted=False) == line(2, "Our time is almost up.")
    talk.heard("Booked")
    assert talk.so_far() == turn(1, "book it", "Let me see. Booked", interrupted=True)
    assert talk.agent_said("Booked.", interrupted=False) == turn(1, "book it", "Let me see. Booked.")
    assert talk.line_said("Goodbye.", interrupted=False) == line(3, "Goodbye.")


def test_the_begin_of_an_answer_is_a_turn_when_the_caller_goes_on_before_the_tool_s_result() -> None:
    talk = Talk()
    talk.user_said("book it")
    talk.agent_said("Is it for two?", interrupted=False, goes_on=True)
    assert talk.user_said("yes") == turn(1, "book it", "Is it for two?")
    assert talk.agent_said("For two, then.", interrupted=False) == turn(2, "yes", "For two, then.")
    assert talk.agent_said("Booked.", interrupted=False) == turn(3, "", "Booked.")


def test_a_successors_answer_before_and_after_a_tool_s_result_is_turn_1_and_without_spaces_in_their_scripts() -> None:
    talk = Talk()
    talk.owe()
    talk.line_said("I am back.", interrupted=False)
    assert talk.agent_said("请稍等。", interrupted=False, goes_on=True) is None
    assert talk.line_said("时间快到了。", interrupted=False) == line(2, "时间快到了。")
    assert talk.agent_said("订好了。", interrupted=False) == turn(1, "", "请稍等。订好了。")
    assert talk.cut() == ()


def test_the_latencies_of_an_answer_are_those_of_its_begin() -> None:
    talk = Talk()
    talk.asking = Marks(silence=1.0, noticed=1.2, transcript=1.35)
    talk.decided(1.4)
    talk.user_said("book it")
    talk.marks.text, talk.marks.audio, talk.marks.sent = 1.65, 2.0, 2.125
    talk.agent_said("Is it for two?", interrupted=False, goes_on=True)
    talk.asking = Marks(silence=5.0, noticed=5.2, transcript=5.3)
    talk.decided(5.4)
    begun = talk.user_said("yes")
    assert begun is not None
    assert begun.stage_ms["total"] == 1125


def test_the_first_words_of_an_answer_are_not_the_line_s_that_ended_just_before() -> None:
    talk = Talk()
    talk.heard("Go on.", "line")
    talk.heard("It")
    assert talk.line_said("Go on.", interrupted=False) == line(0, "Go on.")
    assert talk.so_far() == turn(1, "", "It", interrupted=True)
    talk.heard("Our time", "line")
    assert talk.cut() == (line(1, "Our time", interrupted=True), turn(2, "", "It", interrupted=True))


ANSWERED = Marks(
    silence=1.0, noticed=1.2, transcript=1.35, decided=1.4, text=1.65, sentence=1.775, audio=2.0, sent=2.125
)


def test_each_stage_is_measured_from_the_one_before() -> None:
    assert ANSWERED.stage_ms() == {
        "endpointing": 250,
        "stt": 150,
        "turn": 50,
        "llm": 250,
        "sentence": 125,
        "tts": 225,
        "transport": 125,
        "total": 1125,
    }


def test_stages_that_did_not_come_are_left_out() -> None:
    assert Marks(silence=1.0, transcript=1.2).stage_ms() == {}
    assert Marks(silence=1.0, noticed=1.2, decided=1.3).stage_ms() == {"endpointing": 300, "stt": 0, "turn": 100}
    assert Marks(decided=1.0, text=1.5, sent=2.0).stage_ms() == {"llm": 500, "transport": 500}


def test_a_transcript_that_came_during_the_speech_costs_nothing() -> None:
    stages = replace(ANSWERED, transcript=0.9).stage_ms()
    assert (stages["endpointing"], stages["stt"]) == (400, 0)


def test_a_voice_that_speaks_before_the_first_sentence_is_whole_did_not_wait_for_it() -> None:
    stages = replace(ANSWERED, sentence=2.05).stage_ms()
    assert (stages["tts"], "sentence" in stages, stages["total"]) == (350, False, 1125)


def test_an_answer_behind_a_filler_counts_until_the_filler_was_heard() -> None:
    stages = replace(ANSWERED, audio=1.5, sent=1.6, sentence=1.45).stage_ms()
    assert stages == {
        "endpointing": 250, "stt": 150, "turn": 50, "llm": 200, "sentence": 0, "tts": 0, "transport": 0, "total": 600,
    }  # fmt: skip


def test_a_sound_during_the_answer_does_not_move_the_turns_stages() -> None:
    talk = Talk()
    talk.asking = Marks(silence=1.0, noticed=1.2, transcript=1.35)
    talk.decided(1.4)
    talk.user_said("what time is it")
    talk.marks.text, talk.marks.audio, talk.marks.sent = 1.65, 2.0, 2.125
    talk.asking = Marks(silence=3.0, noticed=3.2)  # "mm-hm"
    answered = talk.agent_said("It is noon.", interrupted=False)
    assert answered is not None
    assert answered.stage_ms["total"] == 1125


@given(st.lists(st.none() | st.floats(0, 20), min_size=8, max_size=8))
def test_the_stages_add_up_to_the_total(times: list[float | None]) -> None:
    stages = Marks(*times).stage_ms()
    assert min(stages.values(), default=0) >= 0
    assert stages.get("turn", 0) <= stages.get("endpointing", 0)
    if "total" in stages:
        assert sum(stages.get(stage, 0) for stage in SHARES) == stages["total"]


@given(st.lists(st.sampled_from(["user", "agent", "tool", "unasked", "line", "word", "cut"]), max_size=30))
def test_turns_are_numbered_without_a_gap_and_in_order_but_for_lines_before_an_answer(happenings: list[str]) -> None:
    talk = Talk()
    turns: list[Turn | None] = []
    for happening in happenings:
        if happening == "user":
            turns.append(talk.user_said("u"))
        elif happening in ("agent", "unasked"):
            turns.append(talk.agent_said("a", interrupted=False))
        elif happening == "tool":
            turns.append(talk.agent_said("a", interrupted=False, goes_on=True))
        elif happening == "line":
            turns.append(talk.line_said("l", interrupted=False))
        elif happening == "word":
            talk.heard("w")
        else:
            turns += talk.cut()
    turns += talk.cut()
    numbers = [t.n for t in turns if t is not None]
    assert "line" in happenings or numbers == sorted(numbers)
    numbers.sort()
    assert numbers in (list(range(len(numbers))), list(range(1, len(numbers) + 1)))


def test_the_rules_follow_the_system_prompt() -> None:
    assert system_instruction("You are Ada.") == f"You are Ada.\n\n{CRITICAL_RULES}"


def test_the_rules_name_the_tags_and_what_is_forbidden() -> None:
    for words in ("[happy] [sad] [angry] [surprised] [fearful] [disgusted]", "stage directions", "asterisks"):
        assert words in CRITICAL_RULES
    assert "one or two short sentences" in CRITICAL_RULES


def test_late_words_for_which_the_turn_did_not_wait_count_from_the_end_of_their_sound() -> None:
    talk = Talk()
    talk.asking = Marks(silence=1.0, noticed=1.2)
    talk.decided(5.2)
    assert talk.user_said("") is None
    talk.asking.transcript = 6.0
    talk.decided(6.2)
    talk.user_said("What time is it?")
    answered = talk.agent_said("It is noon.", interrupted=False)
    assert answered is not None
    assert answered.stage_ms == {"endpointing": 400, "stt": 4800, "turn": 200}
