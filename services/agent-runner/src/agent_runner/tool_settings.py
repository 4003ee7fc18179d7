"""The settings of tools: among the agent's parameters."""

from typing import Annotated, TypeAlias

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    StringConstraints,
    field_validator,
)
from pydantic_settings import NoDecode

from agent_runner.domain.tool_signature import secret_bytes
from chassis.shared_settings import ToolHosts
from contracts.tool_hosts import hosts


def _split(value: object) -> object:
    return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


def _is_key(value: SecretStr) -> SecretStr:
    secret_bytes(value.get_secret_value())
    return value


def _one_line(value: SecretStr) -> SecretStr:
    text = value.get_secret_value()
    if not text.isprintable() or not text.isascii():
        raise ValueError("a header's value is printable ASCII")
    return value


class HeaderSet(BaseModel):
    """Headers for the tools that name this set.

    Attributes:
        hosts: As in TOOL_ALLOWED_HOSTS: the set goes to these hosts alone.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    hosts: str = Field(min_length=1, max_length=2_000)
    headers: dict[
        Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9-]{1,100}$")],
        Annotated[SecretStr, Field(max_length=4_000), AfterValidator(_one_line)],
    ] = Field(max_length=20)

    @field_validator("hosts")
    @classmethod
    def _are_hosts(cls, value: str) -> str:
        hosts(value)
        return value


SigningKey: TypeAlias = Annotated[SecretStr, AfterValidator(_is_key)]


class ToolSettings(ToolHosts):
    tool_filler_s: float = Field(
        default=1.5,
        ge=0,
        le=30,
        description="seconds of silence while a tool runs until the agent says that it takes a moment; 0: never",
    )

    tool_signing_keys: Annotated[tuple[SigningKey, ...], NoDecode, BeforeValidator(_split)] = Field(
        default=(),
        max_length=4,
        description="secrets of the form whsec_<Base64>, separated by commas: each call of a tool is signed with all "
        "of them (Standard Webhooks), so that a secret can be changed; empty: calls are not signed",
    )
    tool_headers: dict[str, HeaderSet] = Field(
        default_factory=dict,
        description='a JSON object of header sets that tools may name, such as {"crm": {"hosts": "crm.example.org", '
        '"headers": {"Authorization": "Bearer ..."}}}; a set goes to its hosts alone',
    )
