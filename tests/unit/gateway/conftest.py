"""The API with everything behind it in memory."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

import httpx
import pytest
from fastapi import FastAPI

from chassis.health import Health
from gateway.adapters.livekit_signature import LiveKitSignature
from gateway.adapters.livekit_tokens import CallerTokens
from gateway.domain.access import AccessRules
from gateway.routes.api import build_api
from gateway.routes.services import Services
from gateway.routes.waits import Waits
from tests.support.events import NOW
from tests.unit.gateway.fakes import (
    FakeBilling,
    FakeKeys,
    FakeLog,
    FakePrejoinedRooms,
    FakeQueue,
    FakeReadModel,
    FakeRegistry,
    FakeRooms,
    FakeSeats,
    FakeVoices,
)

API_KEY, API_SECRET = "APIkey", "a-secret-of-at-least-32-bytes-for-tests"


@dataclass
class World:
    """Everything behind the API."""

    log: FakeLog = field(default_factory=FakeLog)
    rooms: FakeRooms = field(default_factory=FakeRooms)
    voices: FakeVoices = field(default_factory=FakeVoices)
    keys: FakeKeys = field(default_factory=FakeKeys)
    prejoined: FakePrejoinedRooms = field(default_factory=FakePrejoinedRooms)
    queue: FakeQueue = field(default_factory=FakeQueue)
    waits: Waits = field(default_factory=lambda: Waits(limit=3))
    seats: FakeSeats = field(default_factory=FakeSeats)
    registry: FakeRegistry = field(default_factory=FakeRegistry)
    read_model: FakeReadModel = field(default_factory=FakeReadModel)
    billing: FakeBilling = field(default_factory=FakeBilling)
    health: Health = field(default_factory=lambda: Health("gateway"))
    body_limit: int = 64 * 1024

    def app(self, rules: AccessRules | None = None, *, root_path: str = "") -> FastAPI:
        app = build_api(
            self.health, rules=rules or AccessRules(), root_path=root_path, body_limit=self.body_limit, deadline_s=5
        )
        count = iter(range(1, 10_000))
        app.state.services = Services(
            log=self.log,
            rooms=self.rooms,
            tokens=CallerTokens(API_KEY, API_SECRET, ttl_s=1860),
            webhooks=LiveKitSignature({API_KEY: API_SECRET, "APIold": API_SECRET[::-1]}),
            voices=self.voices,
            idempotency=self.keys,
            prejoined=self.prejoined,
            queue=self.queue,
            waits=self.waits,
            keepalive_s=0.05,
            seats=self.seats,
            registry=self.registry,
            read_model=self.read_model,
            billing=self.billing,
            now=lambda: NOW,
            randomness=lambda: next(count).to_bytes(6, "big"),
            client_url="wss://livekit.example",
            max_bots=50,
            start_deadline_s=2,
            start_wait_s=0.2,
            end_wait_s=0.2,
            queue_deadline_s=30,
            stats_deadline_s=1,
        )
        return app


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def client(world: World) -> Callable[..., httpx.AsyncClient]:
    """Makes clients of that world's API."""

    def make(rules: AccessRules | None = None, *, root_path: str = "") -> httpx.AsyncClient:
        transport = httpx.ASGITransport(app=world.app(rules, root_path=root_path))
        return httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000")

    return make


@pytest.fixture
async def api(client: Callable[..., httpx.AsyncClient]) -> AsyncIterator[httpx.AsyncClient]:
    async with client() as api:
        yield api
