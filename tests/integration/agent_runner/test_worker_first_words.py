"""A worker's first words, where the voice or the caller is late or early: their order at the ear and in the log."""

import asyncio
from typing import Any

import pytest

from agent_runner.link.messages import Joined, Turn
from tests.integration.agent_runner.worker_stage import Fork, New, Sandbox, go
from tests.support.servers import LiveKitServer
from tests.support.waiting import until


@pytest.mark.parametrize(
    "job", [{"opening_line": "Hello."}, {"epoch": 2, "opening_line": None, "bridge": "Sorry, go on."}], ids=str
)
async def test_a_first_line_whose_voice_connects_late_does_not_come_after_an_answer(
    fork: Fork, livekit: LiveKitServer, sandbox: Sandbox, session: str, person: New, job: dict[str, Any]
) -> None:
    await sandbox.control("replies", {"replies": ["It is noon."]})
    await sandbox.control("faults", {"service": "groq", "kind": "latency", "latency_ms": 500, "count": 1})
    worker = await fork(tts_connect_idle=False)
    await sandbox.control("faults", {"service": "inworld", "kind": "status", "status": 503, "count": 2})
    caller = await person().enter(session)
    worker.send(go(livekit, session, **job))
    await worker.heard(Joined)
    await caller.type("What time is it?")
    await until(lambda: "It is noon." in [m.heard_text for m in worker.said if isinstance(m, Turn)], 15)
    await asyncio.sleep(2)
    sent = [request["body"] for request in (await sandbox.state())["last_requests"] if request["path"] == "send_text"]
    assert "".join(message["text"] for message in sent).strip() == "It is noon."
    assert caller.loud_s > 0.4
