"""Starts that a client should not send: each is refused by name, or accepted whole."""

import json
from typing import Any, Final

TOOL: Final[dict[str, Any]] = {
    "name": "look_up",
    "description": "Looks an order up.",
    "url": "https://tools.example.com/orders",
    "parameters": {"type": "object", "properties": {"order": {"type": "string"}}, "required": ["order"]},
}


def nested(depth: int) -> str:
    """A schema of so many objects in each other, as JSON; `json.dumps` gives up earlier."""
    return '{"type": "object", "properties": {"a": ' * (depth // 2) + "{}" + "}}" * (depth // 2)


def a_start(**fields: Any) -> bytes:
    return json.dumps({"userName": "Ann", **fields}).encode()


def with_tool(**fields: Any) -> bytes:
    return a_start(tools=[TOOL | fields])


def with_parameters(raw: str) -> bytes:
    """The text is the tool's `parameters`, JSON or not."""
    return with_tool(parameters="HERE").replace(b'"HERE"', raw.encode("utf-8", "surrogatepass"))


URLS: Final = [
    "http://[/",
    "http://[::1/x",
    "http://℀.com/",
    "https://h:99999/",
    "https://tools.example.com:0/",
    "https://tools.example.com@evil.example/",
    "https://tools.example.com\\@evil.example/",
    "//tools.example.com/",
    "file:///etc/passwd",
    "https://xn--a.tools.example.com/",
    "https://tools.example.com/\ud800",
    "http://169.254.169.254/latest/meta-data",
    "http://0x7f000001/",
]
PARAMETERS: Final = [
    *(nested(depth) for depth in (34, 196, 200, 254, 256, 2_000)),
    '{"type": "object", "default": NaN}',
    '{"type": "object", "default": 1e999}',
    '{"type": "object", "default": -Infinity}',
    '{"type": "object", "default": ' + "9" * 400 + "}",
    '{"type": "object", "default": ' + "9" * 5_000 + "}",
    '{"type": "object", "x": "\\ud800"}',
    '{"type": "object", "\\udfff": 1}',
    '{"type": "object", "$ref": "#/$defs/missing"}',
    '{"type": "object", "$ref": "https://evil.example/schema"}',
    '{"type": "array"}',
    '{"type": "objct"}',
    '{"type": "object", "properties": {"order": {"type": 7}}}',
    '{"type": "object", "properties": []}',
    '{"type": "object", "properties": {"order": {"enum": "x"}}}',
    '{"type": "object", "properties": {"order": {"pattern": "("}}}',
    '{"type": "object", "$ref": "#"}',
    '{"type": "object", "x": "' + "x" * 5_000 + '"}',
    "[]",
    "null",
    "{",
]
BODIES: Final = [
    b"",
    b"null",
    b"[]",
    b'"start"',
    b"\xff\xfe",
    b"[" * 100_000,
    b'{"userName": "\xff"}',
    b'{"userName": "\\ud800"}',
    b'{"userName": "Ann", "userName": {}}',
    a_start(userName=" "),
    a_start(userName="\u202eAnn"),
    a_start(userName="A" * 200),
    a_start(userName=["Ann"]),
    a_start(openingLine="\ud800"),
    a_start(systemPrompt="\x00" * 32_001),
    a_start(sessionId="session_" + "a" * 200),
    a_start(sessionId="session_../../x"),
    a_start(sessionId="session_a.b"),
    a_start(metadata={"a": 1}),
    a_start(metadata={str(n): "x" for n in range(17)}),
    a_start(metadata={"\ud800": "x"}),
    a_start(wait="for ever"),
    a_start(creditLimit=10**400),
    a_start(creditLimit=-1),
    a_start(creditLimit="1e999"),
    a_start(tools=[TOOL, TOOL]),
    a_start(tools=[TOOL | {"name": f"t{n}"} for n in range(9)]),
    a_start(agent="unknown"),
]
HOSTILE: Final = [*BODIES, *(with_tool(url=url) for url in URLS), *(with_parameters(raw) for raw in PARAMETERS)]

# Odd, but within every limit.
ODD: Final = [
    a_start(systemPrompt="\u0001" * 32_000),
    a_start(systemPrompt="😀" * 32_000),
    a_start(userName="Zoë 😀 " + "é" * 100),
    a_start(metadata={"k" * 64: "v" * 512}),
    a_start(openingLine="\t hi \n"),
    a_start(tools=[TOOL | {"name": f"t{n}"} for n in range(8)]),
    with_parameters("{}"),
    with_parameters(nested(14)),
    with_parameters('{"type": "object", "default": 18446744073709551615}'),
    with_parameters('{"type": "object", "properties": {"a": {"pattern": "((x+)+)+$", "own": {"type": 7}}}}'),
]
