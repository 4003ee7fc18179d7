"""One session, one trace: from the POST to the bill, in the spans and in the log lines of every service."""

import asyncio
import json
import secrets
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from greenroom_cli.stack import Stack
from tests.e2e.collector import Collector, Span

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(120)]

SERVICES = {"gateway", "scheduler", "agent-runner", "agent-worker", "billing"}
STEPS = {"publish requested", "publish assigned", "publish agent_ready", "publish ended", "publish billed"}
OPENING = "Welcome to the xylophone society."
# Spans leave a process in batches, some seconds apart.
SPANS_COME_S = 20.0


async def test_one_trace_holds_the_session_from_the_post_to_the_bill(stack: Stack, collector: Collector) -> None:
    trace_id, parent = secrets.token_hex(16), secrets.token_hex(8)
    session = f"session_trace_{parent}"
    headers = {"traceparent": f"00-{trace_id}-{parent}-01"}
    async with httpx.AsyncClient(base_url=stack.gateway_url, headers=headers, timeout=40) as client:
        start = {"userName": "Anna", "sessionId": session, "openingLine": OPENING, "wait": "joined"}
        assert (await client.post("/orchestrator/session/start", json=start)).status_code == 200
        assert (await client.post("/orchestrator/session/end", json={"sessionId": session})).status_code == 200

    spans = await _spans(collector, trace_id)

    known = {span.span_id for span in spans} | {parent}
    assert not [span for span in spans if span.parent_id not in known]
    assert not [span for span in spans if OPENING in span.attributes]  # a trace holds no speech
    lines = _lines(stack.folder.logs, session)
    assert {line["service"] for line in lines} >= SERVICES
    # LiveKit's webhooks begin traces of their own.
    assert not [line for line in lines if "trace_id" not in line]
    assert {line["trace_id"] for line in lines if line["event"] != "room.event"} == {trace_id}


async def test_every_service_serves_metrics(stack: Stack) -> None:
    environment = stack.environment
    async with httpx.AsyncClient(timeout=10) as client:
        pages = {
            name: (await client.get(f"{environment[url]}/metrics")).text
            for name, url in {"gateway": "GREENROOM_URL", "billing": "BILLING_URL"}.items()
        }
        for name in ("scheduler", "agent-runner"):
            port = next(line["port"] for line in _log(stack.folder.logs / f"{name}.log") if "port" in line)
            pages[name] = (await client.get(f"http://127.0.0.1:{port}/metrics")).text
    assert "http_request_seconds_bucket" in pages["gateway"]
    assert "bus_publish_seconds_bucket" in pages["billing"]
    assert "scheduler_leading 1.0" in pages["scheduler"]
    assert 'agent_workers{state="warm"}' in pages["agent-runner"]


async def _spans(collector: Collector, trace_id: str) -> list[Span]:
    """The whole trace: all that must be in it has come, and nothing more for a while."""
    deadline = time.monotonic() + SPANS_COME_S
    before: list[Span] = []
    while True:
        spans = collector.of(trace_id)
        missing = (SERVICES - {span.service for span in spans}) | (STEPS - {span.name for span in spans})
        known = {span.span_id for span in spans}
        whole = spans == before and sum(span.parent_id not in known for span in spans) <= 2  # start and end
        if not missing and whole:
            return spans
        assert time.monotonic() < deadline, f"missing {missing} in {sorted({(s.service, s.name) for s in spans})}"
        before = spans
        await asyncio.sleep(1)


def _lines(folder: Path, session: str) -> list[dict[str, Any]]:
    return [line for log in folder.rglob("*.log") for line in _log(log) if line.get("session_id") == session]


def _log(path: Path) -> list[dict[str, Any]]:
    """The lines that are JSON; servers that are not ours write others."""
    found: list[dict[str, Any]] = []
    for line in path.read_text().splitlines():
        if line.startswith("{"):
            found.append(json.loads(line))
    return found
