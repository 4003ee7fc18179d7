"""A body that is refused says what to change in it."""

import httpx
import pytest

START = "/orchestrator/session/start"
TOOL = {"name": "look", "description": "Looks.", "url": "https://tools.example.org/look"}
JSON = {"Content-Type": "application/json"}


@pytest.mark.parametrize(
    ("body", "meant"),
    [
        ({"userName": "Ann", "usr_id": "a"}, "userId for usr_id"),
        ({"userName": "Ann", "langauge": "de", "voice": "Ashley"}, "language for langauge, voiceId for voice"),
        ({"user": "Ann"}, "userName for user"),
        ({"name": "Ann"}, "userName for name"),
        ({"userName": "Ann", "tools": [{**TOOL, "methd": "GET"}]}, "method for tools.0.methd"),
    ],
)
async def test_a_start_names_the_field_that_was_meant(
    api: httpx.AsyncClient, body: dict[str, object], meant: str
) -> None:
    answer = await api.post(START, json=body)

    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")
    assert answer.json()["fix"].endswith(f"Did you mean {meant}?")


async def test_a_name_that_resembles_no_field_is_no_guess(api: httpx.AsyncClient) -> None:
    answer = await api.post(START, json={"userName": "Ann", "user": "Ann", "name": "Ann", "colour": "red"})

    assert "ean" not in answer.json()["fix"]
    assert len(answer.json()["errors"]) == 3


@pytest.mark.parametrize("path", ["/orchestrator/session/end", "/api/token", "/nodes/n1/drain"])
async def test_every_post_names_the_field_that_was_meant(api: httpx.AsyncClient, path: str) -> None:
    answer = await api.post(path, json={"sesionId": "session_a", "limit": 5})

    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")
    assert ("limitS for limit" if path.startswith("/nodes") else "sessionId for sesionId") in answer.json()["fix"]


@pytest.mark.parametrize(
    ("content", "fix"),
    [
        (b'{"userName": "Ann",\n "userId": Ann}', "Correct the JSON at line 2, column 12"),
        (b"[" * 60_000, "Send JSON with fewer levels"),
        (b"[]", "Send a JSON object in braces"),
    ],
)
async def test_a_body_that_is_no_json_object_says_what_to_change(
    api: httpx.AsyncClient, content: bytes, fix: str
) -> None:
    answer = await api.post(START, content=content, headers=JSON)

    assert (answer.status_code, answer.json()["code"]) == (400, "malformed_body")
    assert fix in answer.json()["fix"]
    assert "Content-Type" not in answer.json()["fix"]


async def test_json_without_its_content_type_is_told_the_header(api: httpx.AsyncClient) -> None:
    answer = await api.post(START, content=b'{"userName": "Ann"}')

    assert answer.json()["fix"] == "Send the body with the header Content-Type: application/json."
