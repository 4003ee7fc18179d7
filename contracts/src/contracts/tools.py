"""Tools: HTTP functions that a session's agent may call.

Clients send `Tool`; the log and the commands hold `RecordedTool`. Only `Tool` has rules, so that a stricter rule never
makes an older log unreadable (docs/decisions/0012-strict-requests-tolerant-records.md).
"""

import json
import math
import re
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Final, Literal, cast

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator, model_validator

from contracts.bounds import checked_count
from contracts.tool_hosts import MAX_URL_CHARS, URL_PATTERN, parse_url

MOST_TOOLS: Final = 8
MAX_SCHEMA_BYTES: Final = 4_096
MAX_SCHEMA_DEPTH: Final = 16
"""Levels of nested objects and lists, including the schema itself; JSON parsers fail only far beyond this."""
MAX_TOOLS_BYTES: Final = 16_384
"""Limit of all tools of a session as JSON: they share one packet of the link to the worker with the system prompt."""
MAX_TIMEOUT_S: Final = 30

_DYNAMIC: Final = ("$dynamicRef", "$recursiveRef")
_LEAST_WHOLE, _GREATEST_WHOLE = -(2**63), 2**64 - 1

ToolName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_-]{0,63}$")]
ToolUrl = Annotated[str, StringConstraints(max_length=MAX_URL_CHARS, pattern=URL_PATTERN)]

_PARAMETERS: Final = (
    f"JSON Schema of the arguments, which are an object; `type` is optional, so `{{}}` means no arguments. At most "
    f"{MAX_SCHEMA_BYTES} bytes as ASCII JSON (separators `, ` and `: `, other characters as \\uXXXX) and "
    f"{MAX_SCHEMA_DEPTH} levels of objects and lists. Integers have at most 64 bits; other numbers are finite. "
    "A `$ref` points to a schema inside this one, such as `#/$defs/NAME`. The schema must be valid by JSON Schema "
    "draft 2020-12, or by the draft from 4 on that its `$schema` names; unknown keywords are allowed."
)


class RecordedTool(BaseModel):
    """A tool in the log and in commands; it has types but no limits."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    name: str
    description: str = ""
    parameters: dict[str, Any] = Field(default_factory=lambda: {"type": "object", "properties": {}})
    url: str
    method: str = "POST"
    timeout_s: float = 10
    header_set: str = ""

    @property
    def deadline_s(self) -> float:
        """The timeout, limited to 0 .. MAX_TIMEOUT_S seconds."""
        return max(0.0, min(float(MAX_TIMEOUT_S), self.timeout_s))


class Tool(BaseModel):
    """A function that the language model may call: the agent sends the arguments and returns the response."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    _few_fields = model_validator(mode="before")(checked_count)

    name: ToolName = Field(description="unique among the session's tools")
    description: str = Field(min_length=1, max_length=1_000, description="tells the model when to call the tool")
    parameters: dict[str, Any] = Field(
        default_factory=lambda: {"type": "object", "properties": {}},
        description=_PARAMETERS,
        json_schema_extra={
            "properties": {
                "type": {"const": "object"},
                "properties": {"type": "object"},
                "required": {"type": "array"},
                "$ref": {"type": "string", "pattern": "^#"},
            }
        },
    )
    url: ToolUrl = Field(
        description="http(s)://host[:port][/path][?query] with a DNS name (also an international one) or "
        "an IP address, and a port from 1 to 65535; TOOL_ALLOWED_HOSTS must list the host"
    )
    method: Literal["POST", "GET", "PUT", "PATCH", "DELETE"] = Field(
        default="POST", description="GET and DELETE carry the arguments as the query, the others as JSON"
    )
    timeout_s: float = Field(default=10, gt=0, le=MAX_TIMEOUT_S, description="seconds until the response must arrive")
    header_set: str = Field(
        default="",
        pattern=r"^[A-Za-z0-9_-]{0,64}$",
        description="name of a header set in TOOL_HEADERS of the nodes, whose headers the call gets; empty: none",
    )

    @field_validator("parameters")
    @classmethod
    def _is_an_objects_schema(cls, value: dict[str, Any]) -> dict[str, Any]:
        _check_json(value)
        if value.get("type", "object") != "object" or not isinstance(value.get("properties", {}), dict):
            raise ValueError('must be the JSON Schema of an object: {"type": "object", "properties": {...}}')
        if not isinstance(value.get("required", []), list):
            raise ValueError("`required` must be a list of names")
        if len(json.dumps(value)) > MAX_SCHEMA_BYTES:
            raise ValueError(f"longer than {MAX_SCHEMA_BYTES} bytes as JSON")
        for ref in references(value):
            if not isinstance(_end_of(ref, value), dict | bool):
                raise ValueError(f"`$ref` {ref[:100]!r} must lead to a schema inside this one, such as #/$defs/NAME")
        if any(not ref.startswith("#") for name in _DYNAMIC for ref in references(value, name)):
            raise ValueError(f"{' and '.join(f'`{name}`' for name in _DYNAMIC)} must lead to a part of this schema")
        return value if "type" in value else {"type": "object", **value}

    @field_validator("url", mode="before")
    @classmethod
    def _is_a_tools_url(cls, value: object) -> object:
        """Before the pattern, which the caller of the API would get instead of a sentence."""
        if isinstance(value, str):
            parse_url(value)
        return value


def recorded(tool: Tool) -> RecordedTool:
    """Convert a client's tool for the log."""
    return RecordedTool(**tool.model_dump())


def checked(tools: Sequence[Tool]) -> None:
    """Check a session's tools together.

    Raises:
        ValueError: Two tools have the same name, or all tools together exceed MAX_TOOLS_BYTES.
    """
    if len({tool.name for tool in tools}) < len(tools):
        raise ValueError("two tools have the same name")
    # An empty header set does not count, so that what older versions accepted still fits.
    if sum(len(json.dumps(tool.model_dump(exclude=_unnamed(tool)))) for tool in tools) > MAX_TOOLS_BYTES:
        raise ValueError(f"longer than {MAX_TOOLS_BYTES} bytes together, as JSON")


def _unnamed(tool: Tool) -> set[str]:
    return set() if tool.header_set else {"header_set"}


def _check_json(value: dict[str, Any]) -> None:
    """Refuse values that JSON libraries treat differently. No recursion, because the caller controls the nesting."""
    left: list[tuple[Any, int]] = [(value, 1)]
    while left:
        part, depth = left.pop()
        if isinstance(part, dict):
            inner = cast("dict[str, Any]", part)
            left += [(each, depth + 1) for each in inner.values()]
            left += [(name, depth) for name in inner]
        elif isinstance(part, list):
            left += [(each, depth + 1) for each in cast("list[Any]", part)]
        elif isinstance(part, str):
            _check_text(part)
        elif isinstance(part, int | float):
            _check_number(part)
        if depth > MAX_SCHEMA_DEPTH and isinstance(part, dict | list):
            raise ValueError(f"nested more than {MAX_SCHEMA_DEPTH} levels deep")


def _check_text(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("a string holds half of a surrogate pair (\\ud800 to \\udfff)") from None


def _check_number(number: float) -> None:
    if isinstance(number, float):
        if not math.isfinite(number):
            raise ValueError("a number is not finite (NaN, Infinity, or too large such as 1e999)")
    elif not _LEAST_WHOLE <= number <= _GREATEST_WHOLE:
        raise ValueError("a whole number has more than 64 bits")


def references(schema: dict[str, Any], keyword: str = "$ref") -> Iterator[str]:
    """Yield each `$ref` of a schema, or each reference by another keyword."""
    left: list[Any] = [schema]
    while left:
        below = _below(left.pop())
        left.extend(below.values())
        if isinstance(ref := below.get(keyword), str):
            yield ref


def part_at(ref: str, schema: dict[str, Any]) -> Any:
    """Return the part of a schema that a JSON pointer such as `#/$defs/NAME` leads to; None if there is none."""
    root, *steps = ref.split("/")
    place: Any = schema if root == "#" else None
    for step in steps:
        name = step.replace("~1", "/").replace("~0", "~")
        # Not by `_below`: a long list of references to one another would take a second.
        place = _entry(cast("list[Any]", place), name) if isinstance(place, list) else _below(place).get(name)
    return place


def _entry(entries: list[Any], number: str) -> Any:
    n = int(number) if re.fullmatch("0|[1-9][0-9]{0,4}", number) else len(entries)
    return entries[n] if n < len(entries) else None


def _end_of(ref: str, schema: dict[str, Any]) -> Any:
    """Return where a `$ref` leads, also through further ones; None for a circle, which providers refuse, too."""
    passed: set[str] = set()
    while ref not in passed:
        passed.add(ref)
        place = part_at(ref, schema)
        following = _below(place).get("$ref")
        if not isinstance(following, str):
            return place
        ref = following
    return None


def _below(part: Any) -> dict[str, Any]:
    """The children of a part of a schema, by the name of the JSON pointer's step."""
    if isinstance(part, list):
        return {str(n): each for n, each in enumerate(cast("list[Any]", part))}
    return cast("dict[str, Any]", part) if isinstance(part, dict) else {}
