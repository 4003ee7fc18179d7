import json
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from contracts.api import (
    DEFAULT_SYSTEM_PROMPT,
    MAX_START_BYTES,
    EndDetails,
    EndReply,
    EndRequest,
    StartReply,
    StartRequest,
    TokenReply,
    TokenRequest,
)
from tests.support.longest_start import escaped, longest_start

SESSION = "session_1764000000000_0123456789ab"


def on_the_wire(body: BaseModel) -> dict[str, Any]:
    return json.loads(body.model_dump_json(by_alias=True))


def test_a_start_needs_only_a_name() -> None:
    start = StartRequest.model_validate({"userName": "Ada"})

    assert (start.voice_id, start.opening_line, start.system_prompt) == ("Ashley", None, DEFAULT_SYSTEM_PROMPT)
    assert (start.session_id, start.user_id, start.wait) == (None, None, "accepted")


def test_the_reply_to_a_start_has_the_names_that_clients_read() -> None:
    reply = StartReply(session_id=SESSION, token="t", server_url="ws://h", room_name=SESSION)

    body = on_the_wire(reply)
    assert body.keys() >= {"success", "sessionId", "token", "serverUrl", "roomName", "message"}
    assert body["message"] == "Session created. Voice agent is being spawned."


def test_the_reply_to_an_end_has_the_names_that_clients_read() -> None:
    details = EndDetails(
        session_id=SESSION,
        celery_task_revoked=True,
        process_killed=True,
        redis_cleaned=True,
        durationSeconds=61,
        durationMinutes=2,
        outcome="completed",
        reason="requested",
        ended_at=datetime(2026, 11, 24, 12, 0, tzinfo=UTC),
    )

    assert on_the_wire(EndReply(message=f"Session {SESSION} ended and cleaned up", details=details)) == {
        "success": True,
        "message": f"Session {SESSION} ended and cleaned up",
        "details": {
            "session_id": SESSION,
            "celery_task_revoked": True,
            "process_killed": True,
            "redis_cleaned": True,
            "durationSeconds": 61,
            "durationMinutes": 2,
            "outcome": "completed",
            "reason": "requested",
            "ended_at": "2026-11-24T12:00:00Z",
            "errors": [],
        },
    }


def test_a_token_is_asked_for_and_given_in_camel_case() -> None:
    assert TokenRequest.model_validate({"sessionId": SESSION, "userId": "ada"}).session_id == SESSION
    assert on_the_wire(TokenReply(token="t", url="ws://h")) == {"token": "t", "url": "ws://h"}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("userName", ""),
        ("userName", "   "),
        ("userName", "a\x00b"),
        ("userName", "a" * 129),
        ("voiceId", ""),
        ("voiceId", "../etc"),
        ("voiceId", "a" * 65),
        ("openingLine", ""),
        ("openingLine", "a" * 1_001),
        ("systemPrompt", ""),
        ("systemPrompt", "a" * 32_001),
        ("sessionId", "session_a/b"),
        ("sessionId", "nonsense"),
        ("metadata", {"k" * 65: "v"}),
        ("metadata", {"k": "v" * 513}),
        ("metadata", {str(n): "" for n in range(17)}),
        ("wait", "for ever"),
        ("useName", "a misspelt field"),
    ],
)
def test_a_start_with_a_field_that_cannot_be_taken_is_refused_by_that_fields_name(field: str, value: object) -> None:
    with pytest.raises(ValidationError) as refused:
        StartRequest.model_validate({"userName": "Ada"} | {field: value})

    assert {str(error["loc"][0]) for error in refused.value.errors()} == {field}


def test_a_name_is_trimmed() -> None:
    assert StartRequest.model_validate({"userName": "  Ada  "}).user_name == "Ada"


def test_an_end_names_its_session_and_nothing_else() -> None:
    assert EndRequest.model_validate({"sessionId": SESSION}).session_id == SESSION
    with pytest.raises(ValidationError):
        EndRequest.model_validate({"sessionId": SESSION, "force": True})


def test_the_longest_start_fits_the_body_limit_in_the_most_wasteful_json() -> None:
    body = escaped(longest_start())

    assert StartRequest.model_validate(json.loads(body)).system_prompt == "\U0001f600" * 32_000
    assert 0.9 * MAX_START_BYTES < len(body) <= MAX_START_BYTES
