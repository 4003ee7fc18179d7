"""Settings that several services read: each has one default and one range, and a service inherits the ones it needs."""

from typing import Annotated

from pydantic import AfterValidator, Field, StringConstraints
from pydantic_settings import BaseSettings, SettingsConfigDict

from chassis.credentials import LiveKitSecret
from chassis.urls import RedisUrl, ServerUrl
from contracts.deadlines import QUEUE_S, STARTUP_S
from contracts.languages import Language
from contracts.lines import LineName, sayable
from contracts.rooms import DEPLOYMENT_PATTERN
from contracts.tool_hosts import hosts

Line = Annotated[str, StringConstraints(min_length=1, max_length=500), AfterValidator(sayable)]
LIVEKIT_URL_PATTERN = r"^(ws|wss|http|https)://[^\s]+$"


def _are_hosts(listed: str) -> str:
    hosts(listed)
    return listed


class _Shared(BaseSettings):
    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_ignore_empty=True, hide_input_in_errors=True)


class SessionLimits(_Shared):
    max_bots: int = Field(default=50, ge=1, le=100_000, description="most sessions at once, over all nodes")
    session_timeout: int = Field(default=1_800_000, ge=1_000, le=86_400_000, description="longest call in ms")


class StartDeadlines(_Shared):
    bot_startup_timeout: float = Field(
        default=STARTUP_S, ge=0.5, le=600, description="seconds until an agent must be in the room"
    )
    queue_deadline_s: float = Field(
        default=QUEUE_S, ge=0, le=3600, description="seconds that a start may wait for a slot and a node"
    )


class TurnBudget(_Shared):
    turn_budget_ms: int = Field(
        default=1200,
        ge=100,
        le=60_000,
        description="ms from the end of the caller's speech to the answer's first audio; a longer turn is counted, "
        "logged and shown with the stage to blame. It changes no call",
    )


class LiveKitServer(_Shared):
    livekit_url: ServerUrl = Field(pattern=LIVEKIT_URL_PATTERN, description="ws(s)://host:port of LiveKit")
    livekit_api_key: str = Field(min_length=1, description="an API key of that LiveKit server")
    livekit_api_secret: LiveKitSecret = Field(description="the secret of LIVEKIT_API_KEY")
    deployment_name: str | None = Field(
        default=None,
        pattern=DEPLOYMENT_PATTERN,
        description="name of this deployment on a LiveKit that several deployments share, the same for all services;"
        " unset: derived from the log's creation",
    )


class Price(_Shared):
    credits_per_minute: int = Field(default=1, ge=0, le=1_000_000, description="the price of a begun minute")


class RedisServer(_Shared):
    redis_url: RedisUrl = Field(
        default="redis://localhost:6379/0",
        pattern=r"^(redis|rediss|unix)://[^\s]+$",
        description="redis://[user:password@]host:port/db, user and password percent-encoded",
    )


class SpokenLines(_Shared):
    spoken_lines: dict[Language, dict[LineName, Line]] = Field(
        default_factory=dict,
        description='a JSON object of language, line, words, such as {"de": {"sorry": "Wie bitte?"}}: they replace '
        "what the agent says by itself",
    )


class ToolHosts(_Shared):
    tool_allowed_hosts: Annotated[str, AfterValidator(_are_hosts)] = Field(
        default="",
        max_length=10_000,
        description="[scheme://]host[:port] of permitted tools, separated by commas; empty: none",
    )
