"""One session, one trace: from the POST to the bill, in the spans and in the log lines of every service."""

import asyncio
import json
import os
import secrets
import signal
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from greenroom_cli.stack import Stack
from tests.e2e.collector import Collector, Span
from tests.e2e.conftest import PROMPT, DemoCall
from tests.support import promql

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(120)]

SERVICES = {"gateway", "scheduler", "agent-runner", "agent-worker", "billing"}
STEPS = {"publish requested", "publish assigned", "publish agent_ready", "publish ended", "publish billed"}
OPENING = "Welcome to the xylophone society."
# Spans leave a process in batches, some seconds apart.
SPANS_COME_S = 20.0


async def test_one_trace_holds_the_session_from_the_post_over_a_take_over_to_the_bill(
    stack: Stack, collector: Collector
) -> None:
    trace_id, parent = secrets.token_hex(16), secrets.token_hex(8)
    session = f"session_trace_{parent}"
    headers = {"traceparent": f"00-{trace_id}-{parent}-01"}
    async with httpx.AsyncClient(base_url=stack.gateway_url, headers=headers, timeout=40) as client:
        start = {"userName": "Anna", "sessionId": session, "openingLine": OPENING, "wait": "joined"}
        assert (await client.post("/orchestrator/session/start", json=start)).status_code == 200
        await _kill_the_agent_and_wait_for_the_next(stack, session)  # before it has sent a span
        assert (await client.post("/orchestrator/session/end", json={"sessionId": session})).status_code == 200

    spans = await _spans(collector, trace_id, from_outside=2)  # the start and the end

    known = {span.span_id for span in spans} | {parent}
    assert not [span for span in spans if span.parent_id not in known]
    assert not [span for span in spans if OPENING in span.attributes]  # a trace holds no speech
    assert [span.name for span in spans].count("respond AssignJob") == 2
    assert [span.name for span in spans].count("conversation") == 1
    lines = _lines(stack.folder.logs, session)
    assert {line["service"] for line in lines} >= SERVICES
    # LiveKit's webhooks begin traces of their own.
    assert not [line for line in lines if "trace_id" not in line]
    assert {line["trace_id"] for line in lines if line["event"] != "room.event"} == {trace_id}


async def test_the_trace_of_a_call_has_every_turn_with_its_models(
    stack: Stack, collector: Collector, demo_call: DemoCall
) -> None:
    session = demo_call.report.session_id
    async with httpx.AsyncClient(base_url=stack.gateway_url, timeout=10) as client:
        trace_id = (await client.get(f"/v1/sessions/{session}")).json()["traceId"]

    spans = await _spans(collector, trace_id, from_outside=1)

    by_id = {span.span_id: span for span in spans}
    [root] = [span for span in spans if span.parent_id not in by_id]
    assert (root.service, root.name, root.parent_id) == ("gateway", "POST /orchestrator/session/start", "")
    [conversation] = [span for span in spans if span.name == "conversation"]
    assert by_id[conversation.parent_id].service == "agent-runner"
    models = [span for span in spans if "gen_ai.provider.name" in span.values]
    for span in models:
        assert span.values["gen_ai.system"] == span.values["gen_ai.provider.name"]
        assert span.values["gen_ai.conversation.id"] == session
    unasked = [span.values["gen_ai.operation.name"] for span in models if by_id[span.parent_id] == conversation]
    assert unasked == ["tts"]  # the opening line
    turns = [by_id[span.parent_id] for span in models if by_id[span.parent_id] != conversation]
    assert {(turn.name, turn.parent_id) for turn in turns} == {("turn", conversation.span_id)}
    assert len({turn.span_id for turn in turns}) >= len(demo_call.report.turns)
    for operation, provider in (("chat", "groq"), ("stt", "assemblyai"), ("tts", "inworld")):
        of_kind = [span for span in models if span.values["gen_ai.operation.name"] == operation]
        assert len(of_kind) >= len(demo_call.report.turns), operation
        assert {span.values["gen_ai.provider.name"] for span in of_kind} == {provider}
        assert {span.name for span in of_kind} == {f"{operation} {of_kind[0].values['gen_ai.request.model']}"}
    for span in models:
        if span.values["gen_ai.operation.name"] == "chat":
            assert span.values["gen_ai.response.finish_reasons"] == ["stop"]
            assert min(span.values["gen_ai.usage.input_tokens"], span.values["gen_ai.usage.output_tokens"]) > 0
            assert 0 < span.values["gen_ai.response.time_to_first_chunk"] < 10
    said = [words for turn in demo_call.report.turns for words in (turn.heard, turn.said)]
    assert not [span for span in spans for words in (PROMPT, *said) if words in span.attributes]


async def test_the_series_of_the_dashboards_and_alerts_are_served(stack: Stack, demo_call: DemoCall) -> None:
    assert demo_call.report.bill.minutes == 1  # a call has been made, and billed
    offered: dict[str, set[str] | None] = {}
    for page in (await _metrics(stack)).values():
        for series, labels in promql.served(page).items():
            offered[series] = labels if offered.get(series) is None else (labels or set()) | (offered[series] or set())

    assert promql.missing(offered, promql.declared()) == []
    assert offered["agent_turn_seconds_bucket"] == {"stage", "le"}


async def test_every_service_serves_metrics(stack: Stack) -> None:
    pages = await _metrics(stack)
    assert "http_request_seconds_bucket" in pages["gateway"]
    assert "bus_publish_seconds_bucket" in pages["billing"]
    assert "scheduler_leading 1.0" in pages["scheduler"]
    assert 'agent_workers{state="warm"}' in pages["agent-runner"]


async def _kill_the_agent_and_wait_for_the_next(stack: Stack, session: str) -> None:
    async with httpx.AsyncClient(base_url=stack.gateway_url, timeout=10) as client, asyncio.timeout(30):
        os.kill((await client.get(f"/sessions/{session}")).json()["agentPid"], signal.SIGKILL)
        while True:
            told = (await client.get(f"/v1/sessions/{session}/timeline")).json()["entries"]
            if any((entry["kind"], entry["epoch"]) == ("agent_ready", 2) for entry in told):
                return
            await asyncio.sleep(0.2)


async def _metrics(stack: Stack) -> dict[str, str]:
    """By service, its page of metrics."""
    environment = stack.environment
    async with httpx.AsyncClient(timeout=10) as client:
        pages = {
            name: (await client.get(f"{environment[url]}/metrics")).text
            for name, url in {"gateway": "GREENROOM_URL", "billing": "BILLING_URL"}.items()
        }
        for name in ("scheduler", "agent-runner"):
            port = next(line["port"] for line in _log(stack.folder.logs / f"{name}.log") if "port" in line)
            pages[name] = (await client.get(f"http://127.0.0.1:{port}/metrics")).text
    return pages


async def _spans(collector: Collector, trace_id: str, *, from_outside: int) -> list[Span]:
    """The whole trace: all that must be in it has come, and nothing more for a while.

    Args:
        from_outside: How many of its spans have no parent in it.
    """
    deadline = time.monotonic() + SPANS_COME_S
    before: list[Span] = []
    while True:
        spans = collector.of(trace_id)
        missing = (SERVICES - {span.service for span in spans}) | (STEPS - {span.name for span in spans})
        known = {span.span_id for span in spans}
        whole = spans == before and sum(span.parent_id not in known for span in spans) <= from_outside
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
