"""The conversation so far: complete, in order, each turn once, the newest within the bound."""

import json
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from agent_runner.domain.history import conversation, encode_newest
from contracts.events import Event, JobAssigned, ServedTick, SessionRequested, TurnFinished

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
