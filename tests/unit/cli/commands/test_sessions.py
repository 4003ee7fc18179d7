"""What `sessions show` says of one session."""

from datetime import UTC, datetime

from contracts.api import SessionView
from greenroom_cli.commands.sessions import facts

AT = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
VIEW = SessionView(
    session_id="session_a",
    status="ended",
    user_name="Anna",
    user_id="account-1",
    voice_id="Ashley",
    opening_line="Hello",
    system_prompt="You are Max.",
    created_at=AT,
    conversation_duration=0,
    stage_ms={"pool_wait": 0, "join": 110},
)


def test_stages_are_words_and_numbers() -> None:
    assert dict(facts(VIEW))["stageMs"] == "pool_wait 0 ms, join 110 ms"


def test_what_is_unknown_is_left_out_and_zero_is_not() -> None:
    shown = dict(facts(VIEW))

    assert shown["conversationDuration"] == "0"
    assert "nodeId" not in shown


def test_an_erased_session_has_no_blank_lines() -> None:
    erased = {"user_name": "", "opening_line": "", "system_prompt": "", "stage_ms": {}, "erased": True}

    shown = dict(facts(VIEW.model_copy(update=erased)))

    assert shown["userId"] == "account-1"
    assert {"userName", "openingLine", "systemPrompt", "stageMs"}.isdisjoint(shown)
