"""What a session's tools may be, and where they may be called."""

import json
import math
import time
from typing import Any

import pytest
from pydantic import ValidationError

from contracts.api import StartRequest
from contracts.commands import AssignJob
from contracts.events import SessionRequested
from contracts.parsing import parse_event
from contracts.tools import MAX_SCHEMA_BYTES, MAX_SCHEMA_DEPTH, MOST_TOOLS, RecordedTool


def tool(**changes: Any) -> dict[str, Any]:
    return {"name": "look", "description": "Looks.", "url": "https://tools.example.org/look", **changes}


def refers(ref: str) -> dict[str, Any]:
    """The schema of a list whose items are described elsewhere."""
    parts = {
        "a": {"anyOf": [{"type": "string"}, {"type": "null"}]},
        "one/two": {"type": "string"},
        "all": True,
        "further": {"$ref": "#/$defs/a"},
    }
    return {"type": "object", "properties": {"x": {"type": "array", "items": {"$ref": ref}}}, "$defs": parts}


def start(*tools: dict[str, Any], **more: Any) -> StartRequest:
    return StartRequest.model_validate({"userName": "Ada", "tools": tools, **more})


@pytest.mark.parametrize("url", ["tools.example.org/look", "ftp://host/", "https://two words/", ""])
def test_a_bad_url_is_refused_with_the_form_that_it_must_have(url: str) -> None:
    with pytest.raises(ValidationError, match=r"must be http\(s\)://host\[:port\]\[/path\]"):
        start(tool(url=url))


def test_a_tool_needs_a_name_a_description_and_a_url() -> None:
    (found,) = start(tool()).tools
    assert (found.method, found.timeout_s, found.parameters) == ("POST", 10, {"type": "object", "properties": {}})


@pytest.mark.parametrize(
    ("tools", "where"),
    [
        ([tool(name="two words")], "tools.0.name"),
        ([tool(description="")], "tools.0.description"),
        ([tool(url="ftp://host/")], "tools.0.url"),
        ([tool(url="https://user:secret@host/")], "tools.0.url"),
        ([tool(url="http://[/")], "tools.0.url"),
        ([tool(url="https://h:99999/")], "tools.0.url"),
        ([tool(method="HEAD")], "tools.0.method"),
        ([tool(timeout_s=31)], "tools.0.timeout_s"),
        ([tool(parameters={"type": "string"})], "tools.0.parameters"),
        ([tool(parameters={"type": "object", "properties": []})], "tools.0.parameters"),
        ([tool(parameters=refers("#/$defs/b"))], "tools.0.parameters"),
        ([tool(parameters=refers("#/$defs/a/enum/2"))], "tools.0.parameters"),
        ([tool(parameters=refers("#/$defs/a/anyOf/2"))], "tools.0.parameters"),
        ([tool(parameters=refers("#/$defs/a/anyOf/01"))], "tools.0.parameters"),
        ([tool(parameters=refers("https://example.org/schema.json"))], "tools.0.parameters"),
        ([tool(parameters=refers("#/$defs/a/anyOf"))], "tools.0.parameters"),
        ([tool(parameters=refers("#/$defs/one~1two/type"))], "tools.0.parameters"),
        ([tool(parameters={"$ref": "#"})], "tools.0.parameters"),
        ([tool(parameters={"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}})], "tools.0.parameters"),
        ([tool(parameters={"$dynamicRef": "https://example.org/schema.json#a"})], "tools.0.parameters"),
        ([tool(parameters={"type": "object", "title": "x" * MAX_SCHEMA_BYTES})], "tools.0.parameters"),
        ([tool(colour="red")], "tools.0.colour"),
        ([tool(), tool()], "tools"),
        ([tool(name=f"t{n}") for n in range(MOST_TOOLS + 1)], "tools"),
        ([tool(name=f"t{n}", parameters={"type": "object", "title": "x" * 4000}) for n in range(5)], "tools"),
    ],
)
def test_a_tool_that_cannot_be_taken_is_refused_at_its_field(tools: list[dict[str, Any]], where: str) -> None:
    with pytest.raises(ValidationError) as refused:
        start(*tools)
    assert ".".join(str(part) for part in refused.value.errors()[0]["loc"]) == where


@pytest.mark.parametrize(
    "ref", ["#", "#/$defs/a", "#/$defs/a/anyOf/1", "#/$defs/one~1two", "#/$defs/all", "#/$defs/further"]
)
def test_a_schema_is_taken_whole_and_may_refer_to_its_own_parts(ref: str) -> None:
    parameters = {**refers(ref), "additionalProperties": False}
    (found,) = start(tool(parameters=parameters)).tools
    assert found.parameters == parameters


def test_a_long_chain_of_references_is_followed_in_little_time() -> None:
    chain = [{"$ref": f"#/anyOf/{n + 1}"} for n in range(140)]
    began = time.process_time()
    start(tool(parameters={"anyOf": [*chain, {}]}))
    with pytest.raises(ValidationError, match="must lead to a schema"):
        start(tool(parameters={"anyOf": [*chain, {"$ref": "#/anyOf/0"}]}))
    assert time.process_time() - began < 0.2


def test_a_property_may_have_the_name_of_a_keyword() -> None:
    start(tool(parameters={"type": "object", "properties": {"$ref": {"type": "string"}}}))


def test_a_prompt_that_leaves_no_room_for_tools_is_refused_with_them_alone() -> None:
    prompt = "\x01" * 32_000
    start(systemPrompt=prompt)
    with pytest.raises(ValidationError):
        start(tool(), systemPrompt=prompt)


def nested(levels: int) -> dict[str, Any]:
    """The schema of an object, with so many levels of objects in each other."""
    inner: dict[str, Any] = {}
    for _ in range(levels - 2):
        inner = {"x": inner}
    return {"type": "object", "properties": inner}


def test_a_schema_of_the_greatest_depth_is_taken_and_one_level_more_is_refused() -> None:
    start(tool(parameters=nested(MAX_SCHEMA_DEPTH)))
    for levels in (MAX_SCHEMA_DEPTH + 1, 196, 255, 5_000):
        with pytest.raises(ValidationError, match="levels deep"):
            start(tool(parameters=nested(levels)))


@pytest.mark.parametrize(
    "odd",
    [math.nan, math.inf, float("1e999"), 10**400, 2**64, -(2**63) - 1, "\ud800", {"\udfff": 1}, ["a", {"b": "\udc00"}]],
    ids=repr,
)
def test_what_json_cannot_carry_is_refused_in_a_schema(odd: Any) -> None:
    with pytest.raises(ValidationError) as refused:
        start(tool(parameters={"type": "object", "default": odd}))
    assert refused.value.errors()[0]["loc"] == ("tools", 0, "parameters")


@pytest.mark.parametrize("number", [0, -1, 2**64 - 1, -(2**63), 1.5, -1e300, 5e-324])
def test_numbers_of_64_bits_and_finite_fractions_are_taken(number: float) -> None:
    start(tool(parameters={"type": "object", "properties": {"n": {"maximum": number}}}))


def test_an_empty_schema_means_no_arguments() -> None:
    (found,) = start(tool(parameters={})).tools
    assert found.parameters == {"type": "object"}


@pytest.mark.parametrize(
    "recorded",
    [
        tool(parameters=nested(60)),
        tool(parameters={"type": "string"}),
        tool(parameters={"type": "object", "maximum": 10**400}),
        tool(url="ftp://host:99999/"),
        tool(url="http://[/"),
        tool(name="two words", description="", timeout_s=900, method="GET"),
        tool(colour="red", added_next_year={"a": 1}),
        {"name": "bare", "url": "https://host/"},
    ],
)
def test_a_recorded_tool_that_a_client_may_no_longer_send_is_still_read(recorded: dict[str, Any]) -> None:
    with_tool = {
        "session_id": "session_1",
        "time": "2025-11-25T01:01:07Z",
        "user_name": "Ada",
        "user_id": "ada",
        "voice_id": "Ashley",
        "opening_line": "Hi",
        "system_prompt": "Help.",
        "tools": [recorded],
    }
    event = parse_event("voice.v1.session.requested.session_1", json.dumps(with_tool))
    assert isinstance(event, SessionRequested)
    assert event.tools[0].name == recorded["name"]
    job = {**with_tool, "epoch": 1, "url": "ws://livekit", "token": "t"}
    assert AssignJob.model_validate_json(json.dumps(job)).tools == event.tools


@pytest.mark.parametrize(("timeout_s", "deadline_s"), [(10, 10), (900, 30), (-1, 0), (math.inf, 30), (math.nan, 30)])
def test_a_recorded_timeout_is_kept_within_what_a_call_may_take(timeout_s: float, deadline_s: float) -> None:
    assert RecordedTool(name="t", url="https://host/", timeout_s=timeout_s).deadline_s == deadline_s
