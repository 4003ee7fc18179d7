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
    PoolStats,
    SessionView,
    StatsReply,
)
from contracts.api_v1 import Entry, LastTurn, SessionPage, SessionSummary
from contracts.errors import Problem, ProblemType
from contracts.transcript import Transcript, TranscriptTool, TranscriptTurn
from tests.support.bills import session_bill

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
SUMMARY = SessionSummary(
    session_id=SESSION,
    status="active",
    user_name=USER,
    user_id=USER,
    language=None,
    voice_id="Ashley",
    metadata={},
    node_id="n1",
    epoch=2,
    created_at=_AT,
    start_time=_AT,
    conversation_start_time=_AT,
    ended_at=None,
    outcome=None,
    reason=None,
    start_ms=180,
    duration_seconds=61,
    minutes=None,
    credits=None,
    turns=3,
    last_turn=LastTurn(n=3, epoch=2, at=_AT, latency_ms=1490, over_budget="llm"),
    takeovers=1,
    trace_id=None,
)
TRANSCRIPT = Transcript(
    session_id=SESSION,
    language=None,
    erased=False,
    turns=(
        TranscriptTurn(
            n=1,
            epoch=1,
            at=_AT,
            offset_ms=67_900,
            user="Is it raining?",
            agent="No, the",
            interrupted=True,
            is_opening=False,
            tools=(TranscriptTool(name="weather", outcome="done"),),
        ),
    ),
)
EVENTS = tuple(
    Entry(seq=seq, kind=kind, at=_AT, offset_ms=seq * 100, title=title)
    for seq, kind, title in ((11, "requested", "Asked."), (12, "assigned", "Placed."), (15, "billed", "Billed."))
)
BILL = session_bill(
    SESSION,
    user_id=USER,
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
        active=1,
        starting=0,
        queued=0,
        max_bots=50,
        nodes=1,
        processes=4,
        redis=_OK,
        nats=_OK,
        livekit=_OK,
        pool=[PoolStats(node_id="n1", warm=2, busy=1, free=5, slots=6, draining=True, load=0.1, processes=4)],
    ),
    "/v1/sessions": SessionPage(items=[SUMMARY]),
    f"/v1/sessions/{SESSION}/transcript.json": TRANSCRIPT,
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
        if path == f"/v1/sessions/{SESSION}/events":
            self._stream(int(self.headers.get("Last-Event-ID", "0")))
            return
        found = ANSWERS.get(path)
        status = 404 if found is None else 200
        if not self.server.answers.wait(60):
            return
        if self.server.refuses is not None and path not in ("/health", "/ready", *self.server.allowed):
            found, status = problem(self.server.refuses), self.server.refuses.status
        body = b"" if found is None else found.model_dump_json(by_alias=True).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _stream(self, after: int) -> None:
        """One step for each request, then the connection breaks; 204 behind the last step."""
        assert isinstance(self.server, StandIn)
        self.server.resumed.append(after)
        if after and self.server.bad_gateways:
            self.server.bad_gateways -= 1
            self.send_response(502)
            self.send_header("content-length", "0")
            self.end_headers()
            return
        left = [entry for entry in EVENTS if entry.seq > after]
        self.send_response(200 if left else 204)
        self.send_header("content-type", "text/event-stream")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        if left:
            data = left[0].model_dump_json(by_alias=True)
            text = f"retry: 2000\n\nid: {left[0].seq}\nevent: {left[0].kind}\ndata: {data}\n\n"
            self.wfile.write(f"{len(text.encode()):x}\r\n{text}\r\n".encode())
            if self.server.ends_streams_in_order:
                self.wfile.write(b"0\r\n\r\n")
            self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:
        return


class StandIn(http.server.ThreadingHTTPServer):
    """Remembers in `asked` what it was asked for, and in `resumed` behind which steps.

    With `refuses`, if that is set, it refuses what needs a key, except for the paths `allowed`. While `answers` is
    clear its clients wait. A proxy in front answers 502 to the next `bad_gateways` resumed streams.
    """

    refuses: ProblemType | None = None
    allowed: tuple[str, ...] = ()
    ends_streams_in_order = False
    bad_gateways = 0

    def __init__(self, host: str, tls: ssl.SSLContext | None) -> None:
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        super().__init__((host, 0), _Answer)
        self.asked: list[str] = []
        self.resumed: list[int] = []
        self.answers = threading.Event()
        self.answers.set()
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
        server.answers.set()
        server.shutdown()
        server.server_close()
        thread.join()
