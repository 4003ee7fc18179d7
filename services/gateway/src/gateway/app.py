"""The gateway's process: `python -m gateway.app`."""

import os
import secrets
import sys
from collections.abc import MutableMapping
from datetime import UTC, datetime
from math import ceil
from typing import Any, cast
from uuid import uuid4

from chassis.health import Health, version_of
from chassis.lease import Lease
from chassis.lifecycle import Life, Service, run
from chassis.logs import get_logger
from chassis.nats import Bus
from chassis.settings import EXIT_BAD_SETTINGS, load
from chassis.web import WebServer
from contracts.api import HealthReply
from contracts.errors import Problem
from contracts.streams import BUCKETS, LEADERS, STREAMS
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from starlette.responses import Response

from chassis import edge, problem
from gateway.adapters.billing_http import BillingHttp
from gateway.adapters.inworld_voices import InworldVoices
from gateway.adapters.livekit_rooms import LiveKitRooms
from gateway.adapters.nats_log import NatsIdempotencyKeys, NatsLog, NatsRegistry
from gateway.adapters.redis_read_model import RedisReadModel
from gateway.adapters.tokens import CallerTokens
from gateway.adapters.webhook_signature import LiveKitSignature
from gateway.domain.access import BadApiKey, UnsafeBind, check_bind, parse_keys
from gateway.handlers import Projector
from gateway.routes import billing, end, invalid, sessions, start, stats, token, webhook
from gateway.routes.guard import ApiKeyGuard
from gateway.routes.services import Services
from gateway.settings import GatewaySettings

NAME = "gateway"
_ACCEPT_DEADLINE_S = 8.0
_TOKEN_SLACK_S = 60
_ROOM_SLACK_S = 60
_EDGE_SLACK_S = 2.0
_PROBES = frozenset({"/health", "/ready", "/metrics"})

log = get_logger(__name__)


def build_api(health: Health, *, digests: tuple[bytes, ...] = (), body_limit: int, deadline_s: float) -> FastAPI:
    """The API with all its routes; `app.state.services` is what they work with.

    Args:
        digests: SHA-256 of each API key; none: open.
        body_limit: The longest body, in bytes.
        deadline_s: Until any answer must have begun, in seconds.
    """
    app = FastAPI(
        title="Greenroom",
        summary="Voice AI agents in LiveKit rooms over one REST call.",
        version=health.version,
        redoc_url=None,
        # One server span a request, the root of the session's trace; logs and metrics are chassis'.
        telemetry={"metrics": False, "logs": False, "operation_spans": False, "exclude": _is_probe},
    )
    for routes in (start, end, token, sessions, billing, stats, webhook):
        app.include_router(routes.router)
    for route in health.routes():
        documented: dict[int | str, dict[str, Any]] = {200: {"model": HealthReply}} if route.path == "/health" else {}
        app.add_api_route(route.path, route.endpoint, tags=["operation"], responses=documented, summary=route.path[1:])

    async def on_invalid(request: Request, error: Exception) -> Response:
        return problem.problem_response(
            invalid.refusal(cast(RequestValidationError, error), request), edge.request_id()
        )

    app.add_exception_handler(RequestValidationError, on_invalid)
    app.add_middleware(ApiKeyGuard, digests=digests)
    problem.install(app, max_body_bytes=body_limit, deadline_s=deadline_s)
    app.openapi = lambda: _document(app)
    return app


def openapi() -> dict[str, Any]:
    """The API's description (OpenAPI 3.1); needs no settings and no connection."""
    return build_api(Health(NAME), body_limit=1, deadline_s=1).openapi()


def _is_probe(scope: MutableMapping[str, Any]) -> bool:
    return scope.get("path") in _PROBES


def _document(app: FastAPI) -> dict[str, Any]:
    if app.openapi_schema is None:
        document = get_openapi(title=app.title, version=app.version, summary=app.summary, routes=app.routes)
        schemas: dict[str, Any] = document["components"]["schemas"]
        schema = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas |= schema.pop("$defs") | {Problem.__name__: schema}
        document["components"]["securitySchemes"] = {
            "bearer": {"type": "http", "scheme": "bearer", "description": "One of GREENROOM_API_KEYS."},
            "apiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "The same."},
        }
        document["security"] = [{"bearer": []}, {"apiKey": []}, {}]  # the last: no keys are configured
        app.openapi_schema = document
    return app.openapi_schema


async def _start(life: Life) -> None:
    settings = cast(GatewaySettings, life.service.settings)
    digests = parse_keys(settings.greenroom_api_keys)
    if not digests:
        log.warning("api.open", host=settings.host, fix="set GREENROOM_API_KEYS to ask for keys")
    bus = await life.connect(streams=STREAMS, buckets=BUCKETS)
    rooms = LiveKitRooms(
        settings.livekit_url,
        settings.livekit_api_key,
        settings.livekit_api_secret,
        empty_timeout_s=ceil(settings.queue_deadline_s) + _ROOM_SLACK_S,
        deadline_s=settings.livekit_deadline_s,
    )
    await life.begin("LiveKit client", rooms.open(), stop=rooms.close)
    read_model = RedisReadModel(
        settings.redis_url, deadline_s=settings.redis_deadline_s, ttl_s=settings.read_model_ttl_s
    )
    life.on_stop("Redis", read_model.close)
    billing_service = BillingHttp(settings.billing_url, deadline_s=settings.billing_deadline_s)
    life.on_stop("billing client", billing_service.close)
    voices = InworldVoices(
        settings.inworld_http_url,
        settings.inworld_api_key,
        ttl_s=settings.voices_ttl_s,
        deadline_s=settings.voices_deadline_s,
    )
    life.on_stop("voices", voices.close)
    session_log = NatsLog(bus, deadline_s=settings.bus_deadline_s)
    registry = NatsRegistry(bus, deadline_s=settings.stats_deadline_s)
    app = build_api(
        life.health,
        digests=digests,
        body_limit=settings.body_limit_bytes,
        deadline_s=_ACCEPT_DEADLINE_S + settings.start_wait_s + _EDGE_SLACK_S,
    )
    app.state.services = Services(
        log=session_log,
        rooms=rooms,
        tokens=CallerTokens(
            settings.livekit_api_key, settings.livekit_api_secret, settings.session_timeout // 1000 + _TOKEN_SLACK_S
        ),
        webhooks=LiveKitSignature(settings.webhook_keys),
        voices=voices,
        idempotency=NatsIdempotencyKeys(bus, deadline_s=settings.bus_deadline_s),
        registry=registry,
        read_model=read_model,
        billing=billing_service,
        now=lambda: datetime.now(UTC),
        randomness=lambda: secrets.token_bytes(8),
        client_url=settings.client_url,
        max_bots=settings.max_bots,
        start_deadline_s=_ACCEPT_DEADLINE_S,
        start_wait_s=settings.start_wait_s,
        end_wait_s=settings.end_wait_s,
        queue_deadline_s=settings.queue_deadline_s,
    )
    life.spawn("voices", voices.known())  # so that the first start need not wait for the list
    life.spawn("projector", _project(bus, Projector(session_log, read_model, registry)))
    server = WebServer(app, host=settings.host, port=settings.port, drain_timeout_s=settings.drain_timeout_s)
    await life.begin("HTTP", server.start(), stop=server.stop, stop_deadline_s=settings.drain_timeout_s + 3)
    log.info("api.listening", host=settings.host, port=server.port)


async def _project(bus: Bus, projector: Projector) -> None:
    holder = f"{os.uname().nodename}:{os.getpid()}:{uuid4().hex[:8]}"
    lease = Lease(bus.bucket(LEADERS), "projector", holder, ttl_s=LEADERS.key_ttl_s or 5)

    async def on_lost() -> None:
        """The projector was cancelled; it keeps nothing that would have to be given up."""

    await lease.run(projector.run, on_lost)


def main() -> None:
    """Run the gateway until SIGTERM."""
    settings = load(GatewaySettings)
    try:
        check_bind(settings.host, parse_keys(settings.greenroom_api_keys))
    except (UnsafeBind, BadApiKey) as refused:
        print(f"{NAME}: {refused}", file=sys.stderr)  # noqa: T201 - logging is not configured yet
        raise SystemExit(EXIT_BAD_SETTINGS) from None
    run(Service(NAME, settings, _start, version=version_of("greenroom-gateway"), serve_health=False))


if __name__ == "__main__":
    main()
