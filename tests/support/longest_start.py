"""The longest start that the API takes."""

import json
from typing import Any, cast

from contracts.tools import MAX_SCHEMA_BYTES, MAX_TOOLS_BYTES, MOST_TOOLS


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
