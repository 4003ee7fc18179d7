"""Tools: HTTP functions that a session's agent may call."""

import json
from collections.abc import Collection, Iterator, Sequence
from ipaddress import ip_address
from typing import Annotated, Any, Final, Literal, cast
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator

MOST_TOOLS: Final = 8
MAX_SCHEMA_BYTES: Final = 4_096
MAX_TOOLS_BYTES: Final = 16_384
"""All tools of a session together, as JSON: they travel in one packet beside the system prompt."""

ToolName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_-]{0,63}$")]
ToolUrl = Annotated[str, StringConstraints(max_length=1_000, pattern=r"^https?://[^\s/?#@]+([/?][^\s#]*)?$")]


class Tool(BaseModel):
    """A function that the language model may call: a POST of its arguments as JSON; the answer goes to the model."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: ToolName
    description: str = Field(min_length=1, max_length=1_000, description="tells the model when to call it")
    parameters: dict[str, Any] = Field(
        default_factory=lambda: {"type": "object", "properties": {}},
        description="JSON Schema of the arguments, an object's",
    )
    url: ToolUrl = Field(description="http(s)://host[:port]/path; the host must be one of TOOL_ALLOWED_HOSTS")
    method: Literal["POST"] = "POST"
    timeout_s: float = Field(default=10, gt=0, le=30, description="seconds that the answer may take")

    @field_validator("parameters")
    @classmethod
    def _is_an_objects_schema(cls, value: dict[str, Any]) -> dict[str, Any]:
        if value.get("type") != "object" or not isinstance(value.get("properties", {}), dict):
            raise ValueError('must be the JSON Schema of an object: {"type": "object", "properties": {...}}')
        if not isinstance(value.get("required", []), list):
            raise ValueError("`required` must be a list of names")
        if len(json.dumps(value)) > MAX_SCHEMA_BYTES:
            raise ValueError(f"longer than {MAX_SCHEMA_BYTES} bytes as JSON")
        for ref in _refs(value):
            if not _leads_somewhere(ref, value):
                raise ValueError(f"`$ref` {ref!r} must lead to a part of this schema, such as #/$defs/NAME")
        return value


def _refs(schema: dict[str, Any]) -> Iterator[str]:
    left: list[Any] = [schema]
    while left:
        below = _below(left.pop())
        left.extend(below.values())
        if isinstance(ref := below.get("$ref"), str):
            yield ref


def _leads_somewhere(ref: str, schema: dict[str, Any]) -> bool:
    """Whether a JSON pointer has its target here: the schema travels alone, and the model would refuse each turn."""
    root, *steps = ref.split("/")
    place: Any = schema
    for step in steps:
        name, below = step.replace("~1", "/").replace("~0", "~"), _below(place)
        if name not in below:
            return False
        place = below[name]
    return root == "#"


def _below(part: Any) -> dict[str, Any]:
    """What a step of a JSON pointer leads to from this part."""
    if isinstance(part, list):
        return {str(n): each for n, each in enumerate(cast("list[Any]", part))}
    return cast("dict[str, Any]", part) if isinstance(part, dict) else {}


def checked(tools: Sequence[Tool]) -> None:
    """Hold a session's tools against each other.

    Raises:
        ValueError: Two have one name, or they are too long together.
    """
    if len({tool.name for tool in tools}) < len(tools):
        raise ValueError("two tools have the same name")
    if sum(len(json.dumps(tool.model_dump())) for tool in tools) > MAX_TOOLS_BYTES:
        raise ValueError(f"longer than {MAX_TOOLS_BYTES} bytes together, as JSON")


def host_of(url: str) -> str:
    """The host of a URL in lower case, without its port."""
    return urlsplit(url).hostname or ""


def hosts(listed: str) -> tuple[str, ...]:
    """TOOL_ALLOWED_HOSTS, a list with commas between, in lower case."""
    return tuple(part.strip().lower() for part in listed.split(",") if part.strip())


def is_allowed(url: str, allowed: Collection[str]) -> bool:
    """Whether the URL's host is listed, as it is written there."""
    return host_of(url) in allowed


def may_connect(address: str, allowed: Collection[str]) -> bool:
    """Whether an allowed host's address may be connected to: one that is not public must be listed itself.

    So a name that suddenly leads to the inside of a network leads nowhere.
    """
    return ip_address(address).is_global or address in allowed
