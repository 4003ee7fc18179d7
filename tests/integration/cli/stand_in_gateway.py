"""A gateway of a few canned answers, for the commands that only show what a gateway says; it serves as a proxy too."""

import http.server
import socket
import ssl
import threading
from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, datetime
from urllib.parse import urlsplit

from pydantic import BaseModel

from contracts.api import (
    Dependency,
    EpochBill,
    HealthReply,
    LedgerEntryView,
    SessionBill,
    SessionList,
    SessionView,
    StatsReply,
)
from contracts.errors import Problem, ProblemType

SESSION = "session_1_a"
USER = "Zoë ✓ 日本"
_AT = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)

VIEW = SessionView(
    session_id=SESSION,
    status="ended",
    user_name=USER,
    user_id=USER,
    voice_id="Ashley",
    opening_line="Grüß Gott…",
    system_prompt="You are “Max”.",
    created_at=_AT,
)
BILL = SessionBill(
    session_id=SESSION,
    user_id=USER,
    outcome="completed",
    reason="requested",
    billable_ms=61_000,
    seconds=61,
    minutes=2,
    credits=2,
    settled_at=_AT,
    epochs=[EpochBill(epoch=1, node_id="n1", served_ms=61_000, billable_ms=61_000)],
    entries=[
        LedgerEntryView(entry_id="e1", kind="settlement", credits=-2, seconds=61, minutes=2, at=_AT, note="für Zoë")
    ],
)


class _Ready(BaseModel):
    status: str = "ready"
    reasons: dict[str, str] = {}


_OK = Dependency(ok=True, latency_ms=1)
ANSWERS: dict[str, BaseModel] = {
    "/health": HealthReply(service="gateway", version="0"),
    "/ready": _Ready(),
    "/stats": StatsReply(
        active=0, starting=0, queued=0, max_bots=50, nodes=0, pool=[], processes=0, redis=_OK, nats=_OK, livekit=_OK
    ),
    "/sessions": SessionList(items=[VIEW]),
    f"/sessions/{SESSION}": VIEW,
    f"/billing/sessions/{SESSION}": BILL,
}


def problem(kind: ProblemType) -> Problem:
    return Problem(
        type="about:blank",
        title=kind.title,
        status=kind.status,
        detail="The key is missing or not one of this gateway's.",
        code=kind.code,
        fix=kind.fix,
        retryable=False,
        fault="client",
        request_id="r",
    )


class _Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        assert isinstance(self.server, StandIn)
        self.server.asked.append(self.path)
        path = urlsplit(self.path).path  # a proxy is asked for a whole URL
        found = ANSWERS.get(path)
        status = 404 if found is None else 200
        if self.server.refuses is not None and path not in ("/health", "/ready"):
            found, status = problem(self.server.refuses), self.server.refuses.status
        body = b"" if found is None else found.model_dump_json(by_alias=True).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        return


class StandIn(http.server.ThreadingHTTPServer):
    """Remembers in `asked` what it was asked for; refuses with `refuses`, if that is set, what needs a key."""

    refuses: ProblemType | None = None

    def __init__(self, host: str, tls: ssl.SSLContext | None) -> None:
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        super().__init__((host, 0), _Answer)
        self.asked: list[str] = []
        shown = f"[{host}]" if ":" in host else host
        self.url = f"{'https' if tls else 'http'}://{shown}:{self.server_port}"
        if tls:
            self.socket = tls.wrap_socket(self.socket, server_side=True)


@contextmanager
def stand_in_gateway(*, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None) -> Generator[StandIn]:
    """A running stand-in."""
    server = StandIn(host, tls)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
