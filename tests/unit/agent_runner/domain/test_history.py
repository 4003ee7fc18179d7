"""The conversation so far: complete, in order, each turn once, the newest within the bound."""

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_runner.domain.context_budget import SUMMARY
from agent_runner.domain.history import conversation, encode_newest, past
from contracts.events import Event, JobAssigned, ServedTick, SessionRequested, ToolCalled, TurnFinished

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SID = "session_1_a"


def requested(opening_line: str = "Hello Ann!") -> SessionRequested:
    return SessionRequested(
        session_id=SID,
        time=NOW,
        user_name="Ann",
        user_id="Ann",
        voice_id="Ashley",
        opening_line=opening_line,
        system_prompt="Be kind.",
    )


def turn(epoch: int, n: int, user: str, heard: str) -> TurnFinished:
    return TurnFinished(session_id=SID, time=NOW, epoch=epoch, n=n, user_text=user, heard_text=heard)


def called(epoch: int, n: int, outcome: str = "", *, turn: int = 1, name: str = "book") -> ToolCalled:
    return ToolCalled(
        session_id=SID,
        time=NOW,
        epoch=epoch,
        n=n,
        turn=turn,
        name=name,
        key=f"key {n}",
        arguments_hash="",
        status="finished" if outcome else "started",
        outcome=outcome,
        arguments='{"day":"Friday"}',
        answer="table 7" if outcome else "",
    )


def test_the_calls_of_tools_stand_in_words_between_question_and_answer() -> None:
    log = [
        requested(),
        called(1, 1),
        called(1, 1, "done"),
        turn(1, 1, "Book a table.", "It is table 7."),
        called(1, 2, "failed", turn=2),
        called(1, 3, turn=2),
        turn(1, 2, "And one more.", ""),
    ]
    messages = conversation([*reversed(log), *log])
    assert messages == conversation(log)
    assert [m["role"] for m in messages] == [
        "assistant", "user", "developer", "assistant", "user", "developer", "developer",
    ]  # fmt: skip
    done, failed, open_call = (m["content"] for m in messages if m["role"] == "developer")
    assert "It answered: table 7" in done
    assert "It failed: table 7" in failed
    assert "may have taken effect" in open_call


def cut(turned: TurnFinished) -> TurnFinished:
    """The turn as the end of its epoch, or another turn of the caller's, cut it."""
    return turned.model_copy(update={"interrupted": True})


WAITING = cut(turn(1, 1, "Book it.", ""))
FAILED = turn(1, 1, "Book it.", "")
ANSWERED = turn(1, 1, "Book it.", "It is done.")
BROKEN = cut(turn(1, 1, "Book it.", "It is"))
MOMENT = cut(turn(1, 1, "Book it.", "One moment, please."))
LINE = turn(1, 2, "", "Our time is almost up.")
BRIDGE = turn(2, 0, "", "I am back.")
NOTICE = turn(2, 2, "", "Our time is almost up.")
SENTENCE = turn(1, 1, "Book it.", "Let me look that up.")  # said to its end while the tool runs
STILL = turn(1, 2, "Hello?", "I am still at it.")
SENTENCE_2 = turn(2, 1, "", "Let me look that up.")


@pytest.mark.parametrize(
    "log",
    [
        pytest.param((turn(1, 1, "One?", "Two."), turn(1, 2, "Two?", "")), id="no answer"),
        pytest.param((called(1, 1), MOMENT), id="a filler of the model's, and the tool runs"),
        pytest.param((called(1, 1, "done"), MOMENT), id="a filler of the model's, and the tool is done"),
        pytest.param((called(1, 1), SENTENCE), id="a sentence, and the tool runs"),
        pytest.param((SENTENCE, called(1, 1)), id="a sentence, then the call of a tool"),
        pytest.param((called(1, 1), SENTENCE, called(1, 1, "done")), id="a sentence, then the tool is done"),
        pytest.param((SENTENCE, called(1, 1), called(1, 1, "unknown")), id="a sentence, then the tool did not answer"),
        pytest.param((called(1, 1), SENTENCE, LINE), id="a sentence, and a line while the tool runs"),
        pytest.param((called(1, 1), SENTENCE, LINE, called(1, 1, "failed")), id="and then it has failed"),
        pytest.param((called(1, 1), WAITING, STILL), id="a word to a hello, and the tool runs"),
        pytest.param((called(1, 1), WAITING, STILL, called(1, 1, "done")), id="a word to a hello, and it is done"),
        pytest.param(
            (called(1, 1), called(1, 2, name="look"), called(1, 2, "done", name="look"), ANSWERED),
            id="one tool is done, and the other runs",
        ),
        pytest.param((WAITING, BRIDGE, called(2, 1), SENTENCE_2), id="the successor's sentence, and its tool runs"),
        pytest.param((WAITING, BRIDGE, SENTENCE_2, called(2, 1)), id="the successor's sentence, then its tool"),
        pytest.param((WAITING, called(2, 1), SENTENCE_2, called(2, 1, "done")), id="and the successor's tool is done"),
        pytest.param((called(1, 1), SENTENCE, BRIDGE), id="a sentence, and the successor died at its bridge"),
        pytest.param((called(1, 1),), id="the call of a tool, and not its turn"),
        pytest.param((WAITING, LINE), id="a line while the question waits"),
        pytest.param((WAITING, LINE, turn(1, 3, "", "Are you still there?")), id="two lines while it waits"),
        pytest.param((called(1, 1), LINE), id="a line while the tool runs"),
        pytest.param((called(1, 1), WAITING, LINE), id="a line while the tool runs, and the turn"),
        pytest.param((called(1, 1), MOMENT, LINE), id="a filler of the model's, and a line while the tool runs"),
        pytest.param((called(1, 1, "done"), MOMENT, LINE), id="a filler, a line, and the tool is done"),
        pytest.param((ANSWERED, LINE, turn(1, 3, "And one more.", "")), id="another question behind a line"),
        pytest.param((WAITING, BRIDGE), id="the successor died at its bridge"),
        pytest.param((WAITING, LINE, BRIDGE), id="a line, and the successor died at its bridge"),
        pytest.param((WAITING, BRIDGE, turn(3, 0, "", "I am back.")), id="two successors died at their bridges"),
        pytest.param((WAITING, BRIDGE, called(2, 1)), id="the successor died in its tool"),
        pytest.param((WAITING, BRIDGE, NOTICE), id="the successor died at a line before its answer"),
        pytest.param((WAITING, BRIDGE, NOTICE, turn(2, 3, "", "Hello?")), id="the successor died behind two lines"),
        pytest.param((WAITING, BRIDGE, called(2, 1), NOTICE), id="the successor died in its tool, behind a line"),
        pytest.param((WAITING, BRIDGE, called(2, 1, "done"), NOTICE), id="and the tool was done"),
        pytest.param((WAITING, BRIDGE, NOTICE, turn(3, 0, "", "I am back.")), id="and the next one at its bridge"),
        pytest.param((WAITING, BRIDGE, NOTICE, cut(turn(2, 3, "Well?", ""))), id="the caller asked again behind it"),
        pytest.param((FAILED, BRIDGE), id="the answer failed, nothing said so, and the successor died at its bridge"),
    ],
)
def test_a_question_without_an_answer_is_the_successors_to_answer(log: tuple[Event, ...]) -> None:
    assert past([requested(), *log], 10_000).is_asked


@pytest.mark.parametrize(
    "log",
    [
        pytest.param((), id="no question"),
        pytest.param((turn(1, 0, "", "Hello Ann!"),), id="the opening line alone"),
        pytest.param((turn(1, 0, "", "Hello Ann!"), turn(1, 1, "", "Are you still there?")), id="lines alone"),
        pytest.param((ANSWERED,), id="an answer"),
        pytest.param((BROKEN,), id="a part of an answer"),
        pytest.param((called(1, 1, "done"), ANSWERED), id="an answer from a tool"),
        pytest.param((ANSWERED, LINE), id="an answer, then a line"),
        pytest.param((BROKEN, LINE), id="a part of an answer, then a line"),
        pytest.param((called(1, 1, "done"), ANSWERED, LINE), id="an answer from a tool, then a line"),
        pytest.param(
            (called(1, 1), SENTENCE, called(1, 1, "done"), turn(1, 2, "", "Table 7.")), id="a sentence and an answer"
        ),
        pytest.param((called(1, 1), WAITING, called(1, 1, "done"), STILL), id="a tool that was done before a hello"),
        pytest.param(
            (called(1, 1), SENTENCE, BRIDGE, turn(2, 1, "", "Table 7.")), id="a sentence, and the successor's"
        ),
        pytest.param(
            (called(1, 1), WAITING, BRIDGE, called(2, 1), called(2, 1, "done"), turn(2, 1, "", "Table 7.")),
            id="the successor repeated the call",
        ),
        pytest.param((ANSWERED, cut(LINE)), id="an answer, then a part of a line"),
        pytest.param((FAILED, LINE), id="the answer failed, and the line said so"),
        pytest.param((called(1, 1, "failed"), FAILED, LINE), id="the answer from a tool failed, and the line said so"),
        pytest.param((turn(1, 1, "Book it.", "It is done."), turn(1, 2, "", "Sorry?")), id="an answer, then a sound"),
        pytest.param((WAITING, turn(1, 2, "No, stop.", "All right.")), id="another question, answered"),
        pytest.param((WAITING, turn(1, 2, "", "One moment."), turn(1, 3, "Stop.", "Yes.")), id="the same, and a line"),
        pytest.param((WAITING, BRIDGE, turn(2, 1, "", "It is done.")), id="the successor's answer"),
        pytest.param((WAITING, BRIDGE, turn(2, 1, "", "It is done."), turn(2, 2, "", "Hello?")), id="and a line"),
        pytest.param((WAITING, turn(2, 1, "", "It is done.")), id="the successor's answer without a bridge"),
        pytest.param((WAITING, BRIDGE, called(2, 1, "done"), turn(2, 1, "", "Done.")), id="the successor's tool"),
        pytest.param((WAITING, BRIDGE, NOTICE, turn(2, 1, "", "It is done.")), id="a line, and then its answer"),
        pytest.param((WAITING, BRIDGE, NOTICE, turn(2, 3, "Well?", "Done.")), id="a line, and another question"),
        pytest.param((ANSWERED, BRIDGE), id="an answer, then a successor's bridge"),
        pytest.param((ANSWERED, LINE, BRIDGE), id="an answer, a line, then a successor's bridge"),
    ],
)
def test_a_question_with_an_answer_is_not_answered_again(log: tuple[Event, ...]) -> None:
    assert not past([requested(), *log], 10_000).is_asked


def test_a_successor_counts_the_questions_and_knows_the_open_calls() -> None:
    told = past(
        [requested(), turn(1, 0, "", "Hi"), turn(1, 1, "One?", "Two."), turn(2, 1, "Go", ""), called(2, 1)], 999
    )
    assert told.questions == 2
    assert [*told.open_calls.values()] == ["key 1"]


def test_the_opening_line_comes_first_then_the_turns_by_epoch_and_number() -> None:
    log = [
        turn(2, 1, "Three?", "Four."),
        requested(),
        JobAssigned(session_id=SID, time=NOW, epoch=1, node_id="n", served_ms_before=0),
        turn(1, 2, "Two?", "Three."),
        ServedTick(session_id=SID, time=NOW, epoch=1, served_ms=5000),
        turn(1, 1, "One?", "Two."),
    ]
    assert [m["content"] for m in conversation(log)] == [
        "Hello Ann!", "One?", "Two.", "Two?", "Three.", "Three?", "Four.",
    ]  # fmt: skip
    assert [m["role"] for m in conversation(log)] == ["assistant", *(["user", "assistant"] * 3)]


def test_an_opening_that_was_cut_off_stands_as_it_was_heard() -> None:
    log = [requested("Hello Ann, how are you?"), turn(1, 0, "", "Hello Ann,"), turn(1, 1, "Stop.", "Yes?")]
    assert [m["content"] for m in conversation(log)] == ["Hello Ann,", "Stop.", "Yes?"]


def test_an_answer_that_nobody_heard_is_not_in_the_context() -> None:
    assert conversation([requested(""), turn(1, 1, "Are you there?", "")]) == (
        {"role": "user", "content": "Are you there?"},
    )


def test_without_any_turn_there_is_the_opening_line() -> None:
    assert conversation([requested()]) == ({"role": "assistant", "content": "Hello Ann!"},)
    assert conversation([]) == ()


def test_the_newest_messages_are_kept_within_the_bound() -> None:
    messages = [{"role": "user", "content": f"{n}" * 20} for n in range(9)]
    kept = json.loads(encode_newest(messages, 200))
    assert kept == messages[-len(kept) :]
    assert 0 < len(kept) < 9


_turns = st.lists(
    st.builds(turn, st.integers(1, 3), st.integers(0, 9), st.text(max_size=20), st.text(max_size=20)),
    max_size=20,
    unique_by=lambda t: (t.epoch, t.n),
)


@given(_turns, st.randoms())
def test_order_and_repetition_of_the_log_change_nothing(turns: list[Event], random: object) -> None:
    log = [requested(), *turns]
    shuffled = log + log
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert conversation(shuffled) == conversation(log)


@given(_turns, st.integers(2, 2000))
def test_the_encoding_is_json_within_its_bound(turns: list[Event], max_bytes: int) -> None:
    messages = conversation([requested(), *turns])
    data = encode_newest(messages, max_bytes)
    assert len(data) <= max_bytes
    kept = json.loads(data)
    assert tuple(kept) == messages[len(messages) - len(kept) :]


def test_a_summary_stands_for_the_turns_before_those_that_it_leaves_out() -> None:
    summed = turn(1, 3, "Five?", "Six.").model_copy(update={"summary": "They count.", "summary_keeps": 2})
    log = [
        requested(),
        turn(1, 1, "One?", "Two."),
        turn(1, 2, "Three?", "Four."),
        summed,
        turn(2, 1, "Seven?", "Eight."),
    ]
    assert [m["content"] for m in conversation(log)] == [
        f"{SUMMARY}They count.", "Three?", "Four.", "Five?", "Six.", "Seven?", "Eight.",
    ]  # fmt: skip


def test_the_newest_summary_counts_and_one_that_leaves_out_more_than_there_is_loses_nothing() -> None:
    first = turn(1, 1, "One?", "Two.").model_copy(update={"summary": "Old.", "summary_keeps": 1})
    second = turn(1, 2, "Three?", "Four.").model_copy(update={"summary": "New.", "summary_keeps": 9})
    assert [m["content"] for m in conversation([first, second])] == [
        f"{SUMMARY}New.", "One?", "Two.", "Three?", "Four.",
    ]  # fmt: skip
