"""The check of API keys, before a request's body is read."""

from typing import Final

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from chassis.logs import get_logger, with_fields
from contracts.errors import BAD_SIGNATURE, FOREIGN_REQUEST, UNAUTHORIZED, Refused
from gateway.domain.access import EVERY_SCOPE, AccessRules, ApiKey, find_key, key_id
from gateway.domain.visitor import Foreign, Visitor, foreign
from gateway.routes.audit import client_of, refused_line
from gateway.routes.prefix import route_path
from gateway.routes.scopes import grant

# LiveKit signs its webhooks, probes have no keys; the API's documentation and the console's files are public.
_WEBHOOK: Final = "/livekit/webhook"
METRICS: Final = "/metrics"
PUBLIC: Final = frozenset({"/health", "/ready", METRICS, _WEBHOOK, "/docs", "/openapi.json", "/console", "/v1/console"})
_ASSETS: Final = ("/docs/", "/console/")
# A gateway without keys answers these under any host name, without scopes: LiveKit and probes may use another name.
_ANY_HOST: Final = frozenset({"/health", "/ready", _WEBHOOK})
_READING: Final = frozenset({"GET", "HEAD", "OPTIONS"})

log = get_logger(__name__)


class ApiKeyGuard:
    """Refuses requests without a known key or, when no key is configured, requests from another machine or site.

    Args:
        rules: Without keys every caller on this machine has every scope.
    """

    def __init__(self, app: ASGIApp, *, rules: AccessRules) -> None:
        self._app = app
        self._keys = rules.keys
        self._public = PUBLIC - {METRICS} if rules.metrics_need_key else PUBLIC
        self._hosts = frozenset(host.lower() for host in rules.hosts)
        self._origins = frozenset(rules.origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path = route_path(scope)
        headers = Headers(scope=scope)
        if not self._keys and path not in _ANY_HOST:
            self._check_visitor(scope, headers)
        if is_webhook(scope) and scope["method"] == "POST" and "authorization" not in headers:
            refused_line(scope, reason="no_signature", key="none")
            raise Refused(BAD_SIGNATURE, "Invalid webhook signature: the Authorization header is missing.")
        if path in self._public or path.startswith(_ASSETS):
            grant(scope, self._scopes_of_public(path, headers))
            await self._app(scope, receive, send)
            return
        key = self._known(scope, headers) if self._keys else None
        grant(scope, key.scopes if key else EVERY_SCOPE)
        if key is not None:  # Idempotency-Keys of different API keys must not collide
            scope["state"]["api_key_id"] = key.digest.hex()
        with with_fields(key_id=key.id if key else "none", client=client_of(scope)):
            await self._audited(scope, receive, send)

    async def _audited(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Log each writing request with its status; metrics count the reads."""
        if scope["method"] in _READING:
            await self._app(scope, receive, send)
            return
        status: int | None = None

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, noted)
        except Refused as refused:
            status = refused.problem.status
            raise
        finally:
            log.info("api.called", method=scope["method"], path=route_path(scope), status=status)

    def _check_visitor(self, scope: Scope, headers: Headers) -> None:
        why = self._foreign(headers)
        if why is not None:
            refused_line(scope, reason=why.name.lower(), key="none")
            raise Refused(FOREIGN_REQUEST, f"Without API keys this gateway serves local requests only: {why}.")

    def _foreign(self, headers: Headers) -> Foreign | None:
        visitor = Visitor(
            host=headers.get("host"),
            origin=headers.get("origin"),
            was_forwarded=any(name == "forwarded" or name.startswith("x-forwarded-") for name in headers),
        )
        return foreign(visitor, hosts=self._hosts, origins=self._origins)

    def _known(self, scope: Scope, headers: Headers) -> ApiKey:
        presented = _presented(headers)
        if presented is None:
            refused_line(scope, reason="no_key", key="none")
            raise Refused(UNAUTHORIZED, "The request has no API key.")
        key = find_key(presented, self._keys)
        if key is None:
            refused_line(scope, reason="unknown_key", key=key_id(presented))
            raise Refused(UNAUTHORIZED, "The API key is unknown.")
        return key

    def _scopes_of_public(self, path: str, headers: Headers) -> frozenset[str]:
        if not self._keys:
            return EVERY_SCOPE if path not in _ANY_HOST or self._foreign(headers) is None else frozenset()
        presented = _presented(headers)
        key = find_key(presented, self._keys) if presented is not None else None
        return key.scopes if key else frozenset()


def is_webhook(scope: Scope) -> bool:
    return route_path(scope) == _WEBHOOK


def _presented(headers: Headers) -> str | None:
    scheme, _, credentials = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and credentials.strip():
        return credentials.strip()
    return headers.get("x-api-key")
