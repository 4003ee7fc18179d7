"""API keys, before any route is reached."""

from collections.abc import Sequence
from hashlib import sha256

from contracts.errors import UNAUTHORIZED, Refused
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.domain.access import is_known

# LiveKit signs its webhooks, probes have no keys, and the API's description is no secret.
_OPEN = frozenset(
    {"/health", "/ready", "/metrics", "/livekit/webhook", "/docs", "/docs/oauth2-redirect", "/openapi.json"}
)


class ApiKeyGuard:
    """Refuses requests without a known key.

    Args:
        digests: SHA-256 of each key; none: everybody may come in.
    """

    def __init__(self, app: ASGIApp, *, digests: Sequence[bytes]) -> None:
        self._app = app
        self._digests = digests

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._digests and scope["type"] != "lifespan" and scope["path"] not in _OPEN:
            key = _presented(Headers(scope=scope))
            if key is None:
                raise Refused(UNAUTHORIZED, "The request has no API key.")
            if not is_known(key, self._digests):
                raise Refused(UNAUTHORIZED, "The API key is not one of ours.")
            # Two API keys may use one Idempotency-Key for two requests.
            scope.setdefault("state", {})["api_key_id"] = sha256(key.encode()).hexdigest()
        await self._app(scope, receive, send)


def _presented(headers: Headers) -> str | None:
    scheme, _, credentials = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and credentials.strip():
        return credentials.strip()
    return headers.get("x-api-key")
