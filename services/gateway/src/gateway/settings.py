"""The gateway's settings; nothing else reads the environment."""

from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import AfterValidator, Field, StringConstraints, field_validator, model_validator
from pydantic_settings import NoDecode

from chassis.credentials import weakness
from chassis.settings import ServiceSettings
from chassis.shared_settings import (
    LIVEKIT_URL_PATTERN,
    LiveKitServer,
    Price,
    RedisServer,
    SessionLimits,
    SpokenLines,
    StartDeadlines,
    ToolHosts,
    TurnBudget,
)
from chassis.urls import ServerUrl
from contracts.api import MAX_START_BYTES
from contracts.deadlines import END_S
from gateway.domain.access import BadApiKey, UnsafeBind, check_bind, parse_keys

_VERDICT_SLACK_S = 2
_HTTP = r"^https?://[^\s]+$"


def _proxy(value: str) -> str:
    try:
        if value != "*":
            ip_network(value)
    except ValueError:
        raise ValueError("each entry is an IP address, a network such as 10.0.0.0/8, or *") from None
    return value


def _secret(value: str) -> str:
    if value and (problem := weakness(value, "a secret")) is not None:
        raise ValueError(problem)
    return value


Origin = Annotated[str, StringConstraints(pattern=r"^https?://[A-Za-z0-9.-]+(:[0-9]{1,5})?$", to_lower=True)]
ProxyAddress = Annotated[str, AfterValidator(_proxy)]


class Settings(
    ServiceSettings,
    SessionLimits,
    StartDeadlines,
    LiveKitServer,
    RedisServer,
    SpokenLines,
    ToolHosts,
    TurnBudget,
    Price,
):
    host: str = Field(default="127.0.0.1", min_length=1, description="the address that the API listens on")
    port: int = Field(default=8000, ge=0, le=65535, description="the API's port; 0 takes a free one")
    greenroom_api_keys: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(),
        description="API keys, separated by commas, each in plain text or as sha256:<64 hexadecimal digits>, followed "
        "by its scopes, as in KEY[sessions+tokens]; without scopes it has all",
    )
    greenroom_public_host: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(),
        description="further host names, separated by commas, under which a gateway without API keys is reached",
    )
    cors_allowed_origins: Annotated[tuple[Origin, ...], NoDecode] = Field(
        default=(),
        description="web pages that may call the API, such as https://app.example, separated by commas; not *",
    )
    root_path: str = Field(
        default="",
        pattern=r"^(/[A-Za-z0-9._~-]+)*$",
        description="path prefix under which a proxy publishes the API, such as /voice, without a slash at its end",
    )
    forwarded_allow_ips: Annotated[tuple[ProxyAddress, ...], NoDecode] = Field(
        default=("127.0.0.1", "::1"),
        description="addresses and networks of trusted proxies (X-Forwarded-For), separated by commas; * for all",
    )
    token_any_user: bool = Field(
        default=False, description="true: POST /api/token mints a token for any userId, which your backend must check"
    )

    metrics_need_key: bool = Field(
        default=False,
        description="true: where API keys are configured, GET /metrics needs one with the scope metrics or admin, "
        "which Prometheus sends as its `authorization`; false: everything that reaches the port reads counts and rates",
    )
    console_dir: Path | None = Field(
        default=None, description="folder of the built console; unset: console/dist of the source tree"
    )
    trace_url: str | None = Field(
        default=None,
        pattern=r"^https?://[^\s{}]+(\{traceId\}[^\s{}]*|[/=])$",
        description="address of a trace, to which the console links, such as http://localhost:16686/trace/{traceId}; "
        "the id is appended to one that ends in / or =",
    )

    billing_url: ServerUrl = Field(
        default="http://127.0.0.1:8003", pattern=_HTTP, description="http(s)://host:port of the billing service"
    )

    livekit_public_url: ServerUrl | None = Field(
        default=None, pattern=LIVEKIT_URL_PATTERN, description="LiveKit's URL for clients; LIVEKIT_URL when unset"
    )
    livekit_webhook_keys: Annotated[tuple[tuple[str, str], ...], NoDecode] = Field(
        default=(), description="further key:secret pairs for signatures of webhooks, separated by commas"
    )

    inworld_api_key: str | None = Field(default=None, description="Inworld's API key")
    inworld_http_url: ServerUrl = Field(
        default="https://api.inworld.ai", pattern=_HTTP, description="http(s)://host of Inworld's HTTP API"
    )

    start_waits_max: int = Field(
        default=1000, ge=1, le=100_000, description="most requests that wait for their agent at once, 1 to 100000"
    )
    event_streams_max: int = Field(
        default=1000,
        ge=1,
        le=100_000,
        description="most open streams of events (/v1/sessions/{id}/events, /v1/events), 1 to 100000; each also uses "
        "one of MAX_CONNECTIONS",
    )
    idempotency_max_mb: int = Field(
        default=256,
        ge=1,
        le=1_000_000,
        description="MB for Idempotency-Keys, kept for 24 hours: a start takes about 500 bytes, an end about 1,000",
    )
    seats_max_mb: int = Field(
        default=128,
        ge=1,
        le=1_000_000,
        description="MB for session ids that clients choose, kept for 2 hours: one takes about 250 bytes",
    )

    seal_words: bool = Field(
        default=True,
        description="true: names, prompts and what is said are encrypted in the log with a key of the session, which "
        "DELETE /v1/sessions/{id} erases; false: in the clear, as gateways before this setting need it",
    )

    account_key: Annotated[str, AfterValidator(_secret)] = Field(
        default="",
        description="a secret of at least 32 bytes, the same for all gateways: the bill of a start without `userId` "
        "names a pseudonym of the user's name made with it, so that an erasure leaves no name; unset: the name "
        "itself. Another key makes other accounts",
    )

    max_connections: int = Field(default=2000, ge=16, le=100_000, description="most open connections")
    header_timeout_s: float = Field(default=10, gt=0, le=600, description="seconds to receive a request's headers")
    body_timeout_s: float = Field(default=10, gt=0, le=600, description="seconds to receive a request's body")
    idle_timeout_s: float = Field(
        default=30, ge=1, le=3600, description="seconds that a connection may be idle between two requests"
    )
    body_limit_bytes: int = Field(
        default=MAX_START_BYTES,
        ge=1024,
        description="the longest request body, in bytes; the default holds every valid start in every JSON encoding",
    )
    bus_deadline_s: float = Field(default=2.5, gt=0, le=8, description="seconds to wait for NATS")
    stats_deadline_s: float = Field(default=1, gt=0, le=8, description="seconds to answer /stats")
    livekit_deadline_s: float = Field(default=2, gt=0, le=8, description="seconds to wait for LiveKit")
    redis_deadline_s: float = Field(default=1, gt=0, le=8, description="seconds to wait for Redis")
    billing_deadline_s: float = Field(default=2, gt=0, le=8, description="seconds to wait for billing")
    voices_deadline_s: float = Field(default=1.5, gt=0, le=8, description="seconds to wait for the list of voices")
    end_wait_s: float = Field(default=END_S, gt=0, le=8, description="seconds to wait for a session's end")
    voices_ttl_s: float = Field(default=3600, gt=0, description="seconds for which the list of voices is kept")
    read_model_ttl_s: int = Field(
        default=7 * 24 * 3600, ge=1, description="seconds for which Redis keeps a session after its end"
    )
    user_config_ttl_s: int = Field(
        default=90 * 24 * 3600, ge=1, description="seconds for which Redis keeps a user's configuration after a start"
    )

    @field_validator(
        "greenroom_api_keys", "greenroom_public_host", "cors_allowed_origins", "forwarded_allow_ips", mode="before"
    )
    @classmethod
    def _split_keys(cls, value: Any) -> Any:
        return _split(value)

    @field_validator("trace_url")
    @classmethod
    def _name_the_id(cls, value: str | None) -> str | None:
        """Compose cannot write the braces: the first } would end its `${TRACE_URL}`."""
        return f"{value}{{traceId}}" if value and "{traceId}" not in value else value

    @field_validator("livekit_webhook_keys", mode="before")
    @classmethod
    def _split_pairs(cls, value: Any) -> Any:
        pairs = [tuple(entry.split(":", 1)) for entry in _split(value)]
        if any(len(pair) != 2 or not all(pair) for pair in pairs):
            raise ValueError("each entry is key:secret")
        if problem := next((found for _, secret in pairs if (found := weakness(secret))), None):
            raise ValueError(problem)
        return pairs

    @model_validator(mode="after")
    def _is_not_open_to_other_machines(self) -> Self:
        try:
            check_bind(self.host, parse_keys(self.greenroom_api_keys))
        except (UnsafeBind, BadApiKey) as refused:
            raise ValueError(str(refused)) from None
        return self

    @property
    def client_url(self) -> str:
        return self.livekit_public_url or self.livekit_url

    @property
    def start_wait_s(self) -> float:
        """How long a start waits for its agent: the scheduler's longest time to decide, plus 2 s."""
        return max(self.bot_startup_timeout, self.queue_deadline_s) + _VERDICT_SLACK_S

    @property
    def webhook_keys(self) -> dict[str, str]:
        """Secret by API key, for signatures of webhooks."""
        return {**dict(self.livekit_webhook_keys), self.livekit_api_key: self.livekit_api_secret}


def _split(value: Any) -> Any:
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value
