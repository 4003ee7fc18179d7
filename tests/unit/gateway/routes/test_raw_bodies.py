"""Bodies as bytes: whatever JSON can hold, the answer is never a 5xx."""

import json
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from contracts.tool_hosts import hosts
from tests.support.gateway.world import World

START = "/orchestrator/session/start"
PLACES = [START, "/api/session/start", "/orchestrator/session/end", "/api/token", "/nodes/n1/drain", "/livekit/webhook"]
URL = "https://tools.example.org/x"


def tool(parameters: str = "{}", **more: str) -> str:
    given = {"name": '"look"', "description": '"Looks."', "url": f'"{URL}"', "parameters": parameters} | more
    return "{" + ",".join(f'"{name}": {value}' for name, value in given.items()) + "}"


def start_with(*tools: str, **more: str) -> bytes:
    fields = {"userName": '"Ada"', "tools": f"[{','.join(tools)}]"} | more
    return ("{" + ",".join(f'"{name}": {value}' for name, value in fields.items()) + "}").encode()


def nested(levels: int) -> str:
    return '{"type": "object", "properties": ' + '{"x":' * (levels - 2) + "{}" + "}" * (levels - 2) + "}"


async def post(world: World, path: str, body: bytes) -> httpx.Response:
    app = world.app()
    object.__setattr__(app.state.services, "tool_hosts", hosts("tools.example.org"))
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as api:
        return await api.post(path, content=body, headers={"Content-Type": "application/json"})


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (start_with(tool(nested(196))), "tools.0.parameters"),
        (start_with(tool(nested(230))), "tools.0.parameters"),
        (start_with(tool(nested(300))), "tools.0.parameters"),
        (start_with(tool('{"type": "object", "x": "\\ud800"}')), "tools.0.parameters"),
        (start_with(tool('{"type": "object", "x": NaN}')), "tools.0.parameters"),
        (start_with(tool('{"type": "object", "x": 1e999}')), "tools.0.parameters"),
        (start_with(tool(f'{{"type": "object", "x": {"9" * 400}}}')), "tools.0.parameters"),
        (start_with(tool('{"type": "objct"}')), "tools.0.parameters"),
        (
            start_with(tool(), tool('{"properties": {"a": {"type": 7}}}', name='"b"')),
            "tools.1.parameters.properties.a.type",
        ),
        (
            start_with(tool('{"properties": {"a": {"pattern": "' + "(" * 2_000 + '"}}}')),
            "tools.0.parameters.properties.a.pattern",
        ),
        (start_with(tool(url='"http://[/"')), "tools.0.url"),
        (start_with(tool(url='"http://[::1/x"')), "tools.0.url"),
        (start_with(tool(url='"http://\u2100.com/"')), "tools.0.url"),
        (start_with(tool(url='"https://h:99999/"')), "tools.0.url"),
        (start_with(tool(timeout_s="9" * 400)), "tools.0.timeout_s"),
        (start_with(tool(timeout_s="NaN")), "tools.0.timeout_s"),
        (start_with(systemPrompt='"\\ud800"'), "systemPrompt"),
        (start_with(openingLine='"\\udfff"'), "openingLine"),
        (start_with(userName='"\\ud800"'), "userName"),
        (start_with(metadata='{"\\ud800": "x"}'), "metadata.\ufffd\ufffd\ufffd.[key]"),
        (start_with(metadata='{"a": "\\ud800"}'), "metadata.a"),
        (start_with(userName="1e999"), "userName"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
async def test_what_cannot_be_recorded_is_refused_at_its_field_and_no_room_is_made(
    world: World, body: bytes, field: str
) -> None:
    answer = await post(world, START, body)

    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request"), answer.text
    assert [error["field"] for error in answer.json()["errors"]] == [field]
    assert (world.rooms.made, world.log.events) == (0, [])


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (start_with(tools=f"[{','.join(['{}'] * 8_000)}]"), "tools"),
        (start_with(tools=f"[{','.join(['0'] * 8_000)}]"), "tools"),
        (start_with(metadata="{" + ",".join(f'"{n}": 0' for n in range(4_000)) + "}"), "metadata"),
        (start_with(**{f"x{n}": "0" for n in range(4_000)}), "body"),
        (start_with(tool(**{f"x{n}": "0" for n in range(4_000)})), "tools.0"),
    ],
    ids=["tools", "numbers", "metadata", "fields", "a tool's fields"],
)
async def test_too_many_entries_are_one_error_and_not_one_each(world: World, body: bytes, field: str) -> None:
    answer = await post(world, START, body)

    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request"), answer.text
    assert [error["field"] for error in answer.json()["errors"]] == [field]
    assert "send at most" in answer.json()["errors"][0]["message"]


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 100_000,
        b'{"userName": ' + b"[" * 50_000 + b"]" * 50_000 + b"}",
        b'{"userName": "a", "x": ' + b"9" * 5_000 + b"}",
        b'{"limitS": NaN, "sessionId": NaN}',
        b'{"limitS": 1e999}',
        b'{"limitS": ' + b"9" * 4_000 + b"}",
        b'{"sessionId": "session_1", "sessionId": "\\ud800"}',
        b'{"sessionId": "session_\xff"}',
        b"\xff\xfe{}",
        b"NaN",
        b'"\\ud800"',
        b'{"\\ud800": 1}',
        b"",
        b"null",
        b'{"' + b"k" * 60_000 + b'": 1}',
    ],
    ids=range(15),
)
@pytest.mark.parametrize("path", PLACES)
async def test_odd_json_anywhere_is_a_problem_of_the_clients(world: World, path: str, body: bytes) -> None:
    answer = await post(world, path, body)

    assert answer.status_code < 500, answer.text
    assert len(answer.content) < 2_000


_SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just("\ud800") | st.just(10**400)
_JSON = st.recursive(_SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=12)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    field=st.sampled_from(
        ["userName", "userId", "voiceId", "openingLine", "systemPrompt", "sessionId", "metadata", "tools", "wait", "x"]
    ),
    inside=st.sampled_from([None, "name", "description", "parameters", "url", "method", "timeout_s"]),
    value=_JSON,
)
async def test_any_value_in_any_field_is_accepted_and_readable_or_refused(
    world: World, field: str, inside: str | None, value: Any
) -> None:
    if field == "tools" and inside is not None:
        value = [{"name": "look", "description": "Looks.", "url": URL, inside: value}]
    before, events = world.rooms.made, len(world.log.events)
    answer = await post(world, START, json.dumps({"userName": "Ada", field: value}).encode())

    assert answer.status_code in (200, 400, 409, 422), answer.text
    if answer.status_code in (400, 422):
        assert (world.rooms.made, len(world.log.events)) == (before, events)
