import json
from typing import Any, cast

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
from contracts.tools import MAX_SCHEMA_BYTES, MAX_TOOLS_BYTES, MOST_TOOLS

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


def escaped(value: Any) -> str:
    """JSON in which every character of every string is escaped."""
    if isinstance(value, str):
        units = value.encode("utf-16-be").hex()
        return '"' + "".join(f"\\u{units[n : n + 4]}" for n in range(0, len(units), 4)) + '"'
    if isinstance(value, list):
        return "[" + ", ".join(map(escaped, cast("list[Any]", value))) + "]"
    if isinstance(value, dict):
        fields = cast("dict[str, Any]", value)
        return "{" + ", ".join(f"{escaped(name)}: {escaped(inner)}" for name, inner in fields.items()) + "}"
    return json.dumps(value)


def longest_start() -> dict[str, Any]:
    """A valid start with nothing left to add but spaces."""
    astral = "\U0001f600"
    tools = [
        {
            "name": f"tool_{n}".ljust(64, "x"),
            "description": "d" * 500,
            "url": ("https://tools.example.org/" + "p" * 1_000)[:1_000],
            "method": "POST",
            "timeout_s": 10.5,
            "parameters": {"type": "object", "title": "t"},
        }
        for n in range(MOST_TOOLS)
    ]
    room = MAX_TOOLS_BYTES - sum(len(json.dumps(tool)) for tool in tools)
    for tool in tools:  # at most 4 KB each, 16 KB together
        more = min(room, MAX_SCHEMA_BYTES - len(json.dumps(tool["parameters"])))
        tool["parameters"]["title"] += "t" * more  # type: ignore[index]
        room -= more
    assert room == 0
    return {
        "userName": astral * 128,
        "voiceId": "v" * 64,
        "openingLine": "a" + astral * 999,
        "systemPrompt": astral * 32_000,
        "sessionId": "session_" + "s" * 72,
        "userId": astral * 128,
        "metadata": {f"{n:02}" + astral * 62: astral * 512 for n in range(16)},
        "tools": tools,
        "wait": "accepted",
    }


def test_the_longest_start_fits_the_body_limit_in_the_most_wasteful_json() -> None:
    body = escaped(longest_start())

    assert StartRequest.model_validate(json.loads(body)).system_prompt == "\U0001f600" * 32_000
    assert 0.9 * MAX_START_BYTES < len(body) <= MAX_START_BYTES
