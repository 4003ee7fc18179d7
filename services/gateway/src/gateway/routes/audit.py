"""Log lines about refused requests, a few per second at most."""

import time
from collections.abc import Callable
from typing import Final

from starlette.types import Scope

from chassis import metrics
from chassis.logs import get_logger
from gateway.routes.prefix import route_path

_LINES_A_SECOND: Final = 5
_MAX_PATH: Final = 200

_REFUSED: Final = metrics.counter(
    "gateway_refused_requests_total", "Requests refused before any route, by reason", ("reason",)
)

log = get_logger(__name__)


class Sampler:
    """Passes a few lines per second, and counts the omitted ones."""

    def __init__(self, *, a_second: int = _LINES_A_SECOND, clock: Callable[[], float] = time.monotonic) -> None:
        self._a_second = a_second
        self._clock = clock
        self._since = clock()
        self._shown = 0
        self._omitted = 0

    def take(self) -> int | None:
        """The number of lines omitted since the last one that passed; None: omit this one too."""
        now = self._clock()
        if now - self._since >= 1:
            self._since, self._shown = now, 0
        if self._shown >= self._a_second:
            self._omitted += 1
            return None
        self._shown += 1
        omitted, self._omitted = self._omitted, 0
        return omitted


_sampler = Sampler()


def client_of(scope: Scope) -> str:
    """The client's address, from the proxy's headers if FORWARDED_ALLOW_IPS trusts the proxy."""
    client = scope.get("client")
    return str(client[0]) if client else "unknown"


def refused_line(scope: Scope, *, reason: str, key: str | None = None) -> None:
    """Log and count a request that was refused for its key or its origin.

    Args:
        key: The first 8 hexadecimal digits of the key's SHA-256; None: the one in the request's log context.
    """
    _REFUSED.labels(reason).inc()
    omitted = _sampler.take()
    if omitted is not None:
        log.warning(
            "auth.refused",
            reason=reason,
            **({} if key is None else {"key_id": key}),
            client=client_of(scope),
            method=scope["method"],
            path=route_path(scope)[:_MAX_PATH],
            omitted=omitted,
        )
