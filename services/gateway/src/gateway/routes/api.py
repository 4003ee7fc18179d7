"""The whole API: its routes, its edge and its description."""

import json
from collections.abc import Mapping, MutableMapping
from functools import cache
from typing import Any, Final, cast

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.middleware import Middleware
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute

from chassis import edge, problem
from chassis.health import Health
from contracts.api import HealthReply
from gateway.domain.access import AccessRules, Scope
from gateway.ports import RecordUnreadable, Unavailable
from gateway.routes import (
    billing,
    console,
    console_page,
    docs_page,
    end,
    erasure,
    nodes,
    sessions,
    start,
    stats,
    token,
    transcript,
    unavailable,
    v1_events,
    v1_nodes,
    v1_sessions,
    webhook,
)
from gateway.routes.cross_origin import CrossOrigin
from gateway.routes.document import document
from gateway.routes.guard import METRICS, ApiKeyGuard, is_webhook
from gateway.routes.in_pieces import InPieces
from gateway.routes.prefix import RootPath
from gateway.routes.scopes import IsAdmin, needs

_ROUTES: Final = (
    start,
    end,
    token,
    sessions,
    v1_sessions,
    v1_events,
    transcript,
    erasure,
    billing,
    stats,
    nodes,
    v1_nodes,
    console,
    webhook,
)
_PAGES: Final = (docs_page, console_page)
_READY_WITHHELD: Final = "not ready; the gateway's log, or a key with the scope admin, shows the reason"
_MISSING_WITHHELD: Final = "missing; a key with the scope admin shows the reason"

_PROBES: Final[dict[str, dict[str, Any]]] = {
    "/health": {"summary": "Whether the process is alive", "responses": {200: {"model": HealthReply}}},
    "/ready": {
        "summary": "Whether it can take requests",
        "responses": {
            200: {"description": "It can; `missing` names what calls still need: Redis, LiveKit, nodes"},
            503: {"description": "It cannot; `reasons` give the causes"},
        },
    },
    METRICS: {
        "summary": "Metrics in Prometheus' text format; with METRICS_NEED_KEY for keys with the scope metrics or admin",
        "responses": {200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
    },
}

_LOCAL: Final = AccessRules()


def build_api(
    health: Health,
    *,
    rules: AccessRules = _LOCAL,
    root_path: str = "",
    body_limit: int,
    body_deadline_s: float = 10.0,
    deadline_s: float,
) -> FastAPI:
    """The API with all its routes; the caller sets `app.state.services`, which they use.

    Args:
        root_path: The path prefix under which a proxy publishes the API, such as `/voice`.
        body_limit: The longest body, in bytes.
        body_deadline_s: From the headers to the body's end, in seconds.
        deadline_s: Until the answer must have begun, in seconds.
    """
    app = FastAPI(
        title="Greenroom",
        summary="Voice AI agents in LiveKit rooms over one REST call.",
        version=health.version,
        redoc_url=None,
        docs_url=None,  # docs_page loads nothing from other hosts
        openapi_url=None,  # FastAPI would serialise the document for each request
        redirect_slashes=False,
        # One server span per request, the root of the session's trace; chassis makes logs and metrics.
        telemetry={"metrics": False, "logs": False, "operation_spans": False, "exclude": _is_probe},
    )
    for routes in _ROUTES:
        app.include_router(routes.router, dependencies=[needs(routes.SCOPE)] if routes.SCOPE else [])
    for pages in _PAGES:
        app.include_router(pages.router)
    _add_probes(app, health, metrics_need_key=rules.metrics_need_key)
    _add_store_problems(app)
    problem.install(
        app,
        invalid=RequestValidationError,
        max_body_bytes=lambda scope: min(body_limit, webhook.MAX_BYTES) if is_webhook(scope) else body_limit,
        body_deadline_s=body_deadline_s,
        deadline_s=deadline_s,
        guards=[Middleware(ApiKeyGuard, rules=rules)],
        outside=[
            Middleware(RootPath, prefix=root_path, first=_first_segments()),
            Middleware(CrossOrigin, origins=rules.origins),
        ],
    )
    app.openapi = lambda: document(app, _routes(), scopes=_scopes(), needs_key=bool(rules.keys))
    _add_description(app, root_path)
    return app


def _add_store_problems(app: FastAPI) -> None:
    async def on_store_error(_request: Request, error: Exception) -> Response:
        refused = unavailable.refusal(cast(Unavailable | RecordUnreadable, error))
        return problem.problem_response(refused, edge.request_id())

    for kind in unavailable.STORE_ERRORS:
        app.add_exception_handler(kind, on_store_error)


def _add_description(app: FastAPI, root_path: str) -> None:
    @cache
    def written() -> bytes:
        servers = {"servers": [{"url": root_path}]} if root_path else {}
        return json.dumps({**app.openapi(), **servers}, ensure_ascii=False, separators=(",", ":")).encode()

    async def description() -> Response:
        return InPieces(written(), media_type="application/json")

    app.add_api_route("/openapi.json", description, include_in_schema=False)


def _add_probes(app: FastAPI, health: Health, *, metrics_need_key: bool) -> None:
    async def ready(is_admin: IsAdmin) -> Response:
        reasons, missing = await health.reasons(), await health.notes.missing()
        if not is_admin:
            reasons, missing = dict.fromkeys(reasons, _READY_WITHHELD), dict.fromkeys(missing, _MISSING_WITHHELD)
        status = "not_ready" if reasons else "ready"
        content = {"status": status, "reasons": reasons, "missing": missing}
        return JSONResponse(content, status_code=503 if reasons else 200)

    for route in health.routes():
        endpoint = ready if route.path == "/ready" else route.endpoint
        needed = [needs(Scope.METRICS, Scope.ADMIN)] if route.path == METRICS and metrics_need_key else []
        app.add_api_route(route.path, endpoint, tags=["operation"], dependencies=needed, **_PROBES[route.path])


def _is_probe(scope: MutableMapping[str, Any]) -> bool:
    return scope.get("path") in _PROBES


def _first_segments() -> set[str]:
    paths = [route.path for routes in (*_ROUTES, *_PAGES) for route in routes.router.routes]
    return {path.split("/")[1] for path in [*paths, *_PROBES, "/openapi.json"]}


def _routes() -> list[BaseRoute]:
    return [route for routes in _ROUTES for route in routes.router.routes]


def _scopes() -> Mapping[str, Scope | None]:
    """The scope of each operation, by its id."""
    return {route.operation_id: routes.SCOPE for routes in _ROUTES for route in routes.router.routes}
