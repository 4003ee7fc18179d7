"""The gateway's process: `python -m gateway.app`."""

import os
import secrets
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Any
from uuid import uuid4

from fastapi import FastAPI

from chassis.deployment import deployment_name
from chassis.health import Health, Notes, version_of
from chassis.http_protocol import ConnectionLimits
from chassis.lifecycle import Life, Service, run
from chassis.logs import get_logger
from chassis.nats import Bus
from chassis.nats.kv.lease import Lease
from chassis.settings import load
from chassis.web import WebServer
from contracts.api import MAX_WAIT_MS
from contracts.deadlines import ACCEPT_S
from contracts.rooms import room_shape
from contracts.streams import BUCKETS, IDEMPOTENCY, LEADERS, SEATS, STREAMS
from contracts.tool_hosts import hosts
from gateway.adapters.billing_http import BillingHttp
from gateway.adapters.inworld_voices import InworldVoices
from gateway.adapters.livekit_check import check_livekit
from gateway.adapters.livekit_rooms import LiveKitRooms
from gateway.adapters.livekit_signature import LiveKitSignature
from gateway.adapters.livekit_tokens import CallerTokens
from gateway.adapters.log_consumers import measure_consumers
from gateway.adapters.nats_idempotency import NatsIdempotencyKeys
from gateway.adapters.nats_prejoined_rooms import NatsPrejoinedRooms
from gateway.adapters.nats_registry import NatsRegistry
from gateway.adapters.nats_seats import NatsSeats
from gateway.adapters.nats_session_log import NatsSessionLog
from gateway.adapters.nats_start_queue import NatsStartQueue
from gateway.adapters.nats_words import NatsWords
from gateway.adapters.redis_projection import RedisProjection
from gateway.adapters.redis_read_model import RedisReadModel
from gateway.domain.access import AccessRules, parse_keys
from gateway.domain.accounts import Accounts
from gateway.projector import Projector
from gateway.routes.api import build_api
from gateway.routes.console_page import built_folder
from gateway.routes.event_streams import EventStreams
from gateway.routes.live import LiveSessions
from gateway.routes.services import Services, Shown
from gateway.routes.undo import UNDO_S
from gateway.routes.waits import Waits
from gateway.settings import Settings

NAME = "gateway"
_TOKEN_SLACK_S = 60
_EDGE_SLACK_S = 2.0 + UNDO_S
_PROJECTOR_REDIS_S = 5.0  # a replay of the log writes full batches

log = get_logger(__name__)


def openapi() -> dict[str, Any]:
    """The API's description (OpenAPI 3.1), without settings or connections."""
    return build_api(Health(NAME), body_limit=1, deadline_s=1).openapi()


async def start(life: Life, settings: Settings) -> None:
    """Connect, build the API, start the projector, then serve."""
    api_keys = parse_keys(settings.greenroom_api_keys)
    if not api_keys:
        log.warning("api.open", host=settings.host, fix="set GREENROOM_API_KEYS to require keys")
    bus = await _connect(life, settings)
    queue = NatsStartQueue(bus)
    words = _words(settings, bus, queue)
    session_log = NatsSessionLog(bus, words, queue, deadline_s=settings.bus_deadline_s)
    life.spawn("queue of starts", queue.watch())
    life.spawn("keys of words in use", words.measure())
    life.spawn("tail of the log", session_log.run())
    life.spawn("consumers of the log", measure_consumers(bus))
    services = await _services(life, settings, bus, session_log, words, queue)
    app = build_api(
        life.health,
        rules=AccessRules(
            api_keys, settings.greenroom_public_host, settings.cors_allowed_origins, settings.metrics_need_key
        ),
        root_path=settings.root_path,
        body_limit=settings.body_limit_bytes,
        deadline_s=max(ACCEPT_S + settings.start_wait_s, MAX_WAIT_MS / 1000) + _EDGE_SLACK_S,
        body_deadline_s=settings.body_timeout_s,
    )
    app.state.services = services
    note_missing(life.health.notes, services)
    life.on_stop("undo of starts", lambda: services.background.drain(UNDO_S))
    writer = _projection(life, settings)
    life.spawn("projector", _project(bus, Projector(session_log, writer, services.registry, services.prejoined, words)))
    server = _server(app, settings)
    await life.begin(
        "HTTP",
        server.start(),
        stop=lambda: stop_serving(services.waits, services.streams, server),
        stop_deadline_s=settings.drain_timeout_s + 3,
    )
    log.info("api.listening", host=settings.host, port=server.port)


def note_missing(notes: Notes, services: Services) -> None:
    """Let /ready name what starts and calls need besides the log."""

    async def redis() -> str | None:
        found = await services.read_model.check()
        return None if found.ok else found.detail

    async def livekit() -> str | None:
        found = await services.rooms.check()
        return None if found.ok else found.detail

    async def nodes() -> str | None:
        return None if await services.registry.nodes() else "no agent-runner is alive"

    async def scheduler() -> str | None:
        return None if await services.registry.has_scheduler() else "no scheduler leads"

    async def billing() -> str | None:
        found = await services.billing.check()
        return None if found.ok else found.detail

    notes.add("Redis", redis)
    notes.add("LiveKit", livekit)
    notes.add("nodes", nodes)
    notes.add("scheduler", scheduler)
    notes.add("billing", billing)


async def _connect(life: Life, settings: Settings) -> Bus:
    keys = replace(IDEMPOTENCY, max_bytes=settings.idempotency_max_mb * 1024**2)
    seats = replace(SEATS, max_bytes=settings.seats_max_mb * 1024**2)
    owned = {IDEMPOTENCY.name: keys, SEATS.name: seats}
    buckets = [owned.get(bucket.name, bucket) for bucket in BUCKETS]
    return await life.connect(streams=STREAMS, buckets=buckets, owned=tuple(owned.values()))


def _words(settings: Settings, bus: Bus, queue: NatsStartQueue) -> NatsWords:
    return NatsWords(
        bus,
        seals=lambda: settings.seal_words and queue.opens_words,
        now=lambda: datetime.now(UTC),
        deadline_s=settings.bus_deadline_s,
    )


async def _services(
    life: Life, settings: Settings, bus: Bus, session_log: NatsSessionLog, words: NatsWords, queue: NatsStartQueue
) -> Services:
    prejoined = NatsPrejoinedRooms(bus)
    idempotency = NatsIdempotencyKeys(bus, deadline_s=settings.bus_deadline_s)
    seats = NatsSeats(bus, deadline_s=settings.bus_deadline_s)
    life.spawn("prejoined rooms", prejoined.watch())
    life.spawn("idempotency keys in use", idempotency.measure())
    life.spawn("seats in use", seats.measure())
    deployment = await deployment_name(bus, settings.deployment_name)
    read_model, now = _read_model(life, settings), partial(datetime.now, UTC)
    return Services(
        log=session_log,
        words=words,
        read_model=read_model,
        live=LiveSessions(session_log, read_model, now, settings.turn_budget_ms),
        rooms=await _rooms(life, settings, deployment),
        tokens=CallerTokens(
            settings.livekit_api_key, settings.livekit_api_secret, settings.session_timeout // 1000 + _TOKEN_SLACK_S
        ),
        webhooks=LiveKitSignature(settings.webhook_keys),
        voices=_voices(life, settings),
        idempotency=idempotency,
        prejoined=prejoined,
        queue=queue,
        seats=seats,
        registry=NatsRegistry(bus, deadline_s=settings.stats_deadline_s),
        billing=_billing(life, settings),
        now=now,
        randomness=lambda: secrets.token_bytes(8),
        client_url=settings.client_url,
        max_bots=settings.max_bots,
        start_deadline_s=ACCEPT_S,
        start_wait_s=settings.start_wait_s,
        end_wait_s=settings.end_wait_s,
        queue_deadline_s=settings.queue_deadline_s,
        stats_deadline_s=settings.stats_deadline_s,
        turn_budget_ms=settings.turn_budget_ms,
        token_any_user=settings.token_any_user,
        tool_hosts=hosts(settings.tool_allowed_hosts),
        accounts=Accounts(settings.account_key),
        lines=settings.spoken_lines,
        waits=Waits(settings.start_waits_max),
        streams=EventStreams(settings.event_streams_max),
        console=_shown(settings, deployment),
        console_folder=built_folder(settings.console_dir),
    )


def _shown(settings: Settings, deployment: str) -> Shown:
    return Shown(
        needs_key=bool(settings.greenroom_api_keys),
        deployment=deployment,
        trace_url=settings.trace_url,
        credits_per_minute=settings.credits_per_minute,
    )


async def stop_serving(waits: Waits, streams: EventStreams, server: WebServer) -> None:
    """Answer the waiting requests with `gateway_stopping` and end the streams, then stop the server."""
    try:
        waits.stop()
        streams.stop()
    finally:
        await server.stop()


def _server(app: FastAPI, settings: Settings) -> WebServer:
    return WebServer(
        app,
        host=settings.host,
        port=settings.port,
        drain_timeout_s=settings.drain_timeout_s,
        limits=ConnectionLimits(
            max_connections=settings.max_connections,
            header_s=settings.header_timeout_s,
            idle_s=settings.idle_timeout_s,
        ),
        trusted_proxies=",".join(settings.forwarded_allow_ips),
    )


def _read_model(life: Life, settings: Settings) -> RedisReadModel:
    read_model = RedisReadModel(settings.redis_url, deadline_s=settings.redis_deadline_s)
    life.on_stop("Redis", read_model.close)
    return read_model


def _projection(life: Life, settings: Settings) -> RedisProjection:
    """With a separate client, so that the projector does not wait behind requests."""
    projection = RedisProjection(
        settings.redis_url,
        deadline_s=max(_PROJECTOR_REDIS_S, settings.redis_deadline_s),
        ttl_s=settings.read_model_ttl_s,
        user_ttl_s=settings.user_config_ttl_s,
    )
    life.on_stop("Redis of the projector", projection.close)
    return projection


async def _rooms(life: Life, settings: Settings, deployment: str) -> LiveKitRooms:
    rooms = LiveKitRooms(
        settings.livekit_url,
        settings.livekit_api_key,
        settings.livekit_api_secret,
        shape=room_shape(settings.queue_deadline_s),
        deadline_s=settings.livekit_deadline_s,
        deployment=deployment,
    )
    await life.begin("LiveKit client", rooms.open(), stop=rooms.close)
    credentials = (settings.livekit_url, settings.livekit_api_key, settings.livekit_api_secret)
    life.spawn("LiveKit check", check_livekit(*credentials, deadline_s=settings.livekit_deadline_s))
    return rooms


def _voices(life: Life, settings: Settings) -> InworldVoices:
    voices = InworldVoices(
        settings.inworld_http_url,
        settings.inworld_api_key,
        ttl_s=settings.voices_ttl_s,
        deadline_s=settings.voices_deadline_s,
    )
    life.on_stop("voices", voices.close)
    life.spawn("voices", voices.known())  # so that the first start does not wait for the list
    return voices


def _billing(life: Life, settings: Settings) -> BillingHttp:
    client = BillingHttp(settings.billing_url, deadline_s=settings.billing_deadline_s)
    life.on_stop("billing client", client.close)
    return client


async def _project(bus: Bus, projector: Projector) -> None:
    holder = f"{os.uname().nodename}:{os.getpid()}:{uuid4().hex[:8]}"
    lease = Lease(bus.bucket(LEADERS), "projector", holder, ttl_s=LEADERS.key_ttl_s or 5)

    async def on_lost() -> None:
        """Nothing to release: the lease has cancelled the projector."""

    await lease.run(projector.run, on_lost)


def main() -> None:
    settings, version = load(Settings), version_of("greenroom-gateway")
    run(Service(NAME, settings, lambda life: start(life, settings), version, serve_health=False, fast_loop=True))


if __name__ == "__main__":
    main()
