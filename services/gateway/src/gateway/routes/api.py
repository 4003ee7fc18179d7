"""The API as a whole: its routes, its edge and its description."""

from collections.abc import MutableMapping
from typing import Any, Final, cast

from chassis.health import Health
from contracts.api import HealthReply
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.responses import Response

from chassis import edge, problem
from gateway.routes import billing, end, invalid, nodes, sessions, start, stats, token, webhook
from gateway.routes.document import document
from gateway.routes.guard import ApiKeyGuard

_PROBES: Final[dict[str, dict[str, Any]]] = {
    "/health": {"summary": "Whether the process is alive", "responses": {200: {"model": HealthReply}}},
    "/ready": {
        "summary": "Whether it can take requests",
        "responses": {200: {"description": "It can"}, 503: {"description": "It cannot; `reasons` say why"}},
    },
    "/metrics": {
        "summary": "Metrics in Prometheus' text format",
        "responses": {200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
    },
}


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
    for routes in (start, end, token, sessions, billing, stats, nodes, webhook):
        app.include_router(routes.router)
    for route in health.routes():
        app.add_api_route(route.path, route.endpoint, tags=["operation"], **_PROBES[route.path])

    async def on_invalid(request: Request, error: Exception) -> Response:
        return problem.problem_response(
            invalid.refusal(cast(RequestValidationError, error), request), edge.request_id()
        )

    app.add_exception_handler(RequestValidationError, on_invalid)
    app.add_middleware(ApiKeyGuard, digests=digests)
    problem.install(app, max_body_bytes=body_limit, deadline_s=deadline_s)
    app.openapi = lambda: document(app, needs_key=bool(digests))
    return app


def _is_probe(scope: MutableMapping[str, Any]) -> bool:
    return scope.get("path") in _PROBES
