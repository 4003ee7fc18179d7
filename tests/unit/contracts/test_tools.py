"""What a session's tools may be, and where they may be called."""

from typing import Any

import pytest
from contracts.api import StartRequest
from contracts.tools import MAX_SCHEMA_BYTES, MOST_TOOLS, hosts, is_allowed, may_connect
from pydantic import ValidationError


def tool(**changes: Any) -> dict[str, Any]:
    return {"name": "look", "description": "Looks.", "url": "https://tools.example.org/look", **changes}


def refers(ref: str) -> dict[str, Any]:
    """The schema of a list whose items are described elsewhere."""
    parts = {"a": {"anyOf": [{"type": "string"}, {"type": "null"}]}, "one/two": {"type": "string"}}
    return {"type": "object", "properties": {"x": {"type": "array", "items": {"$ref": ref}}}, "$defs": parts}


def start(*tools: dict[str, Any], **more: Any) -> StartRequest:
    return StartRequest.model_validate({"userName": "Ada", "tools": tools, **more})


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
        ([tool(method="GET")], "tools.0.method"),
        ([tool(timeout_s=31)], "tools.0.timeout_s"),
        ([tool(parameters={"type": "string"})], "tools.0.parameters"),
        ([tool(parameters={"type": "object", "properties": []})], "tools.0.parameters"),
        ([tool(parameters=refers("#/$defs/b"))], "tools.0.parameters"),
        ([tool(parameters=refers("#/$defs/a/enum/2"))], "tools.0.parameters"),
        ([tool(parameters=refers("https://example.org/schema.json"))], "tools.0.parameters"),
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


@pytest.mark.parametrize("ref", ["#", "#/$defs/a", "#/$defs/a/anyOf/1", "#/$defs/one~1two"])
def test_a_schema_is_taken_whole_and_may_refer_to_its_own_parts(ref: str) -> None:
    parameters = {**refers(ref), "additionalProperties": False}
    (found,) = start(tool(parameters=parameters)).tools
    assert found.parameters == parameters


def test_a_property_may_have_the_name_of_a_keyword() -> None:
    start(tool(parameters={"type": "object", "properties": {"$ref": {"type": "string"}}}))


def test_a_prompt_that_leaves_no_room_for_tools_is_refused_with_them_alone() -> None:
    prompt = "\x01" * 32_000
    start(systemPrompt=prompt)
    with pytest.raises(ValidationError):
        start(tool(), systemPrompt=prompt)


@pytest.mark.parametrize(
    ("url", "listed", "expected"),
    [
        ("https://tools.example.org/look", "tools.example.org", True),
        ("https://TOOLS.example.org:8443/look", " other.org , Tools.Example.org ", True),
        ("https://tools.example.org.evil.net/look", "tools.example.org", False),
        ("https://evil.net/tools.example.org", "tools.example.org", False),
        ("http://127.0.0.1:80/", "", False),
    ],
)
def test_a_host_is_allowed_when_it_is_listed(url: str, listed: str, expected: bool) -> None:
    assert is_allowed(url, hosts(listed)) is expected


@pytest.mark.parametrize(
    ("address", "listed", "expected"),
    [
        ("93.184.216.34", "", True),
        ("127.0.0.1", "", False),
        ("10.0.0.5", "tools.internal", False),
        ("10.0.0.5", "tools.internal,10.0.0.5", True),
        ("169.254.169.254", "", False),
        ("::1", "", False),
        ("::ffff:10.0.0.5", "", False),
    ],
)
def test_an_address_that_is_not_public_must_be_listed_itself(address: str, listed: str, expected: bool) -> None:
    assert may_connect(address, hosts(listed)) is expected
