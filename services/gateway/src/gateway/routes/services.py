"""The ports and settings that the routes use."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

from fastapi import Depends, Request

from chassis.tasks import Tasks
from contracts.lines import LineName, Replaced
from contracts.tool_hosts import AllowedHost
from gateway.domain.accounts import Accounts
from gateway.ports import (
    Billing,
    IdempotencyKeys,
    PrejoinedRooms,
    ReadModel,
    Registry,
    Rooms,
    Seats,
    SessionLog,
    StartQueue,
    Tokens,
    Voices,
    WebhookSignature,
    Words,
)
from gateway.routes.event_streams import EventStreams
from gateway.routes.live import LiveSessions
from gateway.routes.waits import Waits


@dataclass(frozen=True)
class Shown:
    """What the console is told about this deployment.

    Attributes:
        needs_key: API keys are configured.
        deployment: The deployment's name.
        trace_url: Address of a trace, with `{traceId}` in it; None: traces have no page.
        credits_per_minute: The price of a begun minute.
    """

    needs_key: bool = False
    deployment: str = ""
    trace_url: str | None = None
    credits_per_minute: int = 1


@dataclass(frozen=True)
class Services:
    """The ports and settings behind the routes.

    Attributes:
        client_url: LiveKit's URL for clients.
        start_deadline_s: For a start that does not wait for its agent, in seconds.
        start_wait_s: How long a start waits for its agent if asked to, in seconds.
        end_wait_s: How long an end waits for the session's end, in seconds.
        queue_deadline_s: How long a session may wait for a slot, in seconds.
        turn_budget_ms: The latency budget of a turn.
        token_any_user: The client's backend checks the users of tokens.
        tool_hosts: The hosts at which tools may be called.
        lines: Lines that replace those of the table, by language; the default opening line is among them.
        live: The sessions of `GET /v1/events`.
        streams: The open streams of events.
        first_words: Limits the concurrent reads for the scheduler's first decision.
        background: Work that outlives its request.
        console_folder: The built console.
        keepalive_s: Pause between comments in an idle stream, in seconds.
    """

    log: SessionLog
    words: Words
    rooms: Rooms
    tokens: Tokens
    webhooks: WebhookSignature
    voices: Voices
    idempotency: IdempotencyKeys
    prejoined: PrejoinedRooms
    queue: StartQueue
    seats: Seats
    registry: Registry
    read_model: ReadModel
    billing: Billing
    live: LiveSessions
    now: Callable[[], datetime]
    randomness: Callable[[], bytes]
    client_url: str
    max_bots: int
    start_deadline_s: float
    start_wait_s: float
    end_wait_s: float
    queue_deadline_s: float
    stats_deadline_s: float
    turn_budget_ms: int = 1_200
    token_any_user: bool = False
    tool_hosts: tuple[AllowedHost, ...] = ()
    accounts: Accounts = field(default_factory=Accounts)
    lines: Replaced = field(default_factory=dict[str, dict[LineName, str]])
    waits: Waits = field(default_factory=lambda: Waits(limit=1000))
    streams: EventStreams = field(default_factory=lambda: EventStreams(limit=1000))
    first_words: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(32))
    keepalive_s: float = 10.0
    background: Tasks = field(default_factory=Tasks)
    console: Shown = field(default_factory=Shown)
    console_folder: Path = Path("console/dist")


async def _services(request: Request) -> Services:
    return request.app.state.services


Wired = Annotated[Services, Depends(_services)]


def _port(pick: Callable[[Services], object]) -> Any:
    async def picked(services: Wired) -> object:
        return pick(services)

    return Depends(picked)


LogPort = Annotated[SessionLog, _port(lambda services: services.log)]
KeysPort = Annotated[IdempotencyKeys, _port(lambda services: services.idempotency)]
RegistryPort = Annotated[Registry, _port(lambda services: services.registry)]
ReadModelPort = Annotated[ReadModel, _port(lambda services: services.read_model)]
BillingPort = Annotated[Billing, _port(lambda services: services.billing)]
SignaturePort = Annotated[WebhookSignature, _port(lambda services: services.webhooks)]
