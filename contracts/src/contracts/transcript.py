"""The words of a session: `GET /v1/sessions/{id}/transcript`, and `DELETE /v1/sessions/{id}`; camelCase on the wire."""

from typing import Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from contracts.ids import SessionId


class _Body(BaseModel):
    model_config = ConfigDict(frozen=True, alias_generator=to_camel, populate_by_name=True)


class TranscriptTool(_Body):
    """One call of a tool."""

    name: str
    outcome: str = Field(description="done, failed, or unknown: no answer came, so it may have taken effect")


class TranscriptTurn(_Body):
    """One exchange: the caller's words, then the part of the agent's answer that the caller heard."""

    n: int = Field(ge=0, description="ordinal within the epoch")
    epoch: int = Field(ge=1, description="which agent of the session: a take-over begins the next epoch")
    at: AwareDatetime = Field(description="the end of the turn")
    offset_ms: int = Field(ge=0, description="the end of the turn, in ms since the request")
    user: str | None = Field(description="null: the agent spoke first, or the words are erased or unreadable")
    agent: str | None = Field(description="null: nothing was heard, or the words are erased or unreadable")
    interrupted: bool
    is_opening: bool = Field(description="the opening line, or after a take-over the line with which the agent goes on")
    tools: tuple[TranscriptTool, ...] = ()


class Transcript(_Body):
    """The turns of a session so far, oldest first."""

    session_id: SessionId
    language: str | None = Field(description="BCP 47 tag of the start; null: the start named none")
    erased: bool = Field(description="true: the words were erased, and only times are left")
    unreadable: bool = Field(
        default=False, description="true: the log has sealed words that no key opens, so some words are missing"
    )
    turns: tuple[TranscriptTurn, ...]


class Erasure(_Body):
    """The session's words and names are erased; its bill and its timeline keep their numbers."""

    session_id: SessionId
    erased: Literal[True] = True
    erased_at: AwareDatetime = Field(description="of the first request to erase it")
    account_is_name: bool = Field(
        default=False,
        description="true: the user's name is the account of the bill, and stays in the log, the bill and `userId`: "
        "the start gave it as `userId`, or gave none to a gateway without ACCOUNT_KEY",
    )
    redis_cleaned: bool = Field(
        default=True, description="false: the read model had not followed after 2 s; repeat the request until it has"
    )
    log_until: AwareDatetime | None = Field(
        default=None,
        description="until then the log, from which nothing can be deleted, holds words of this session in the clear: "
        "they were stored by a version without sealing, or with SEAL_WORDS=false. null: it holds none",
    )
