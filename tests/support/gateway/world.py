"""The gateway's API with everything behind it in memory."""

from dataclasses import dataclass, field

from fastapi import FastAPI

from chassis.health import Health
from contracts.events import Event
from gateway.adapters.livekit_signature import LiveKitSignature
from gateway.adapters.livekit_tokens import CallerTokens
from gateway.domain.access import AccessRules
from gateway.domain.logged import LoggedEvent
from gateway.domain.read_model import fold_records
from gateway.routes.api import build_api
from gateway.routes.event_streams import EventStreams
from gateway.routes.live import LiveSessions
from gateway.routes.services import Services
from gateway.routes.waits import Waits
from tests.support.events import NOW
from tests.support.gateway.fakes import (
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
    FakeWords,
)

KEY = "k" * 32
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
API_KEY, API_SECRET = "APIkey", "a-secret-of-at-least-32-bytes-for-tests"


@dataclass
class World:
    """Everything behind the API."""

    log: FakeLog = field(default_factory=FakeLog)
    rooms: FakeRooms = field(default_factory=FakeRooms)
    words: FakeWords = field(default_factory=FakeWords)
    voices: FakeVoices = field(default_factory=FakeVoices)
    keys: FakeKeys = field(default_factory=FakeKeys)
    prejoined: FakePrejoinedRooms = field(default_factory=FakePrejoinedRooms)
    queue: FakeQueue = field(default_factory=FakeQueue)
    waits: Waits = field(default_factory=lambda: Waits(limit=3))
    streams: EventStreams = field(default_factory=lambda: EventStreams(limit=3))
    seats: FakeSeats = field(default_factory=FakeSeats)
    registry: FakeRegistry = field(default_factory=FakeRegistry)
    read_model: FakeReadModel = field(default_factory=FakeReadModel)
    billing: FakeBilling = field(default_factory=FakeBilling)
    health: Health = field(default_factory=lambda: Health("gateway"))
    body_limit: int = 64 * 1024

    def show(self, *events: Event) -> None:
        """Let the read model show the log, or these events."""
        records = (LoggedEvent(n, event, trace_id=TRACE) for n, event in enumerate(events or self.log.events, start=1))
        state = fold_records(records)
        assert state is not None
        self.read_model.stored[state.session_id] = state

    def app(self, rules: AccessRules | None = None, *, root_path: str = "") -> FastAPI:
        app = build_api(
            self.health, rules=rules or AccessRules(), root_path=root_path, body_limit=self.body_limit, deadline_s=5
        )
        count = iter(range(1, 10_000))
        app.state.services = Services(
            log=self.log,
            words=self.words,
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
            live=LiveSessions(self.log, self.read_model, lambda: NOW, budget_ms=1_200),
            streams=self.streams,
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
