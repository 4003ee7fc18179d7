"""Recorded traffic for tests: counts, open connections, the last requests. Keys are never stored."""

from collections import Counter, deque
from collections.abc import Callable, Coroutine, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from sandbox.faults import Service

KEPT_REQUESTS = 50
KEPT_TEXTS = 200
KEPT_CHARACTERS = 16_384

Close = Callable[[int | None], Coroutine[Any, Any, None]]


@dataclass
class Traffic:
    """Counts of requests per service, open connections, and the last requests."""

    requests: Counter[str] = field(default_factory=Counter[str])
    _open: dict[Service, list[Close]] = field(default_factory=lambda: {"assemblyai": [], "groq": [], "inworld": []})
    _last: deque[dict[str, Any]] = field(default_factory=lambda: deque(maxlen=KEPT_REQUESTS))
    _texts: deque[str] = field(default_factory=lambda: deque(maxlen=KEPT_TEXTS))

    def count(self, service: Service, what: str) -> None:
        self.requests[f"{service}.{what}"] += 1

    def keep(self, service: Service, path: str, body: Any) -> None:
        """Store a request; of a long one only the fact."""
        kept = body if len(str(body)) <= KEPT_CHARACTERS else {"too_long_to_keep": len(str(body))}
        self._last.append({"service": service, "path": path, "body": kept})

    @contextmanager
    def connection(self, service: Service, close: Close) -> Generator[None]:
        """Counts as open during the block; `close(code)` closes it, abruptly when the code is None."""
        self._open[service].append(close)
        try:
            yield
        finally:
            self._open[service].remove(close)

    async def disconnect(self, service: Service, code: int | None) -> int:
        """Close every open connection of a service; return their number."""
        closing = list(self._open[service])
        for close in closing:
            await close(code)
        return len(closing)

    def text(self, text: str) -> None:
        """Store a text exactly as the voice was sent it."""
        if text:
            self._texts.append(text[:KEPT_CHARACTERS])

    def reset(self) -> None:
        self.requests.clear()
        self._last.clear()
        self._texts.clear()

    def state(self) -> dict[str, Any]:
        open_now = {service: len(connections) for service, connections in self._open.items()}
        kept = {"last_requests": list(self._last), "voice_texts": list(self._texts)}
        return {"open": open_now, "requests": dict(self.requests), **kept}
