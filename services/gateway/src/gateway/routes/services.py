"""What the routes work with."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated

from chassis.tasks import Tasks
from contracts.tool_hosts import AllowedHost
from fastapi import Depends, Request

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
)
from gateway.routes.waits import Waits


@dataclass(frozen=True)
class Services:
    """The ports behind the routes, and the settings that they need.

    Attributes:
        client_url: The URL that clients reach LiveKit at.
        start_deadline_s: How long a start may take that waits for nothing, in seconds.
        start_wait_s: How long a start waits for its agent if asked to, in seconds.
        end_wait_s: How long an end waits for the session's end, in seconds.
        queue_deadline_s: How long a session may wait for a slot, in seconds.
        token_any_user: The backend in front checks who asks for a token.
        tool_hosts: The hosts that tools may be called at.
        first_words: Bounds the reads at once of starts that wait for the scheduler's first word.
        background: Work that outlives its request.
        keepalive_s: How often a stream sends a comment while nothing happens, in seconds.
    """

    log: SessionLog
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
    now: Callable[[], datetime]
    randomness: Callable[[], bytes]
    client_url: str
    max_bots: int
    start_deadline_s: float
    start_wait_s: float
    end_wait_s: float
    queue_deadline_s: float
    stats_deadline_s: float
    token_any_user: bool = False
    tool_hosts: tuple[AllowedHost, ...] = ()
    waits: Waits = field(default_factory=lambda: Waits(limit=1000))
    first_words: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(32))
    keepalive_s: float = 10.0
    background: Tasks = field(default_factory=Tasks)


async def _services(request: Request) -> Services:
    return request.app.state.services


Wired = Annotated[Services, Depends(_services)]
