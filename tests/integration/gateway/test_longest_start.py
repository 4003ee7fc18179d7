"""The longest valid start: into the log, and on to a node as a command."""

import json
from typing import Any

import httpx
import pytest

from chassis.nats import Bus
from contracts.commands import ASSIGN, AssignJob, JobAccepted
from contracts.events import SessionRequested
from contracts.subjects import node_command, session_event
from tests.support.longest_start import escaped, longest_start
from tests.support.responding import respond
from tests.support.words import with_their_words


@pytest.fixture
def gateway_variables() -> dict[str, str]:
    """Tools may be called at the host of the longest start."""
    return {"TOOL_ALLOWED_HOSTS": "https://tools.example.org"}


def widest_record() -> dict[str, Any]:
    """The start with the most bytes in the log: JSON writes a control character as six."""
    return {
        "userName": "\U0001f600" * 128,
        "openingLine": "\x01" * 999 + "a",
        "systemPrompt": "\x01" * 32_000,
        "metadata": {f"{n:02}" + "\x01" * 62: "\x01" * 512 for n in range(16)},
    }


async def test_the_longest_starts_are_recorded_and_reach_a_node_whole(api: httpx.AsyncClient, bus: Bus) -> None:
    given: list[AssignJob] = []

    async def take(job: AssignJob) -> JobAccepted:
        given.append(job)
        return JobAccepted(node_id="n1", pid=1)

    node = respond(bus, node_command("n1", "assign"), take)
    await node.start()
    for start in (longest_start(), widest_record()):
        body = escaped(start)
        answer = await api.post(
            "/orchestrator/session/start", content=body, headers={"Content-Type": "application/json"}
        )
        assert answer.status_code == 200, answer.text
        session_id = answer.json()["sessionId"]

        stored = await bus.last(session_event(SessionRequested.event, session_id))
        assert stored is not None
        assert isinstance(stored.event, SessionRequested)
        [requested] = await with_their_words(bus, [stored.event])
        assert requested.system_prompt == start["systemPrompt"]
        assert dict(requested.metadata) == start["metadata"]
        assert [tool.url for tool in requested.tools] == [tool["url"] for tool in start.get("tools", [])]
        job = AssignJob(
            session_id=session_id,
            epoch=1,
            url="wss://livekit.example.org",
            token="t" * 4_000,
            **requested.model_dump(
                include={"user_name", "user_id", "voice_id", "opening_line", "system_prompt", "tools"}
            ),
        )
        assert (await bus.request(ASSIGN.at("n1"), job, timeout_s=5)).ok
        assert given[-1] == job
        assert len(json.dumps(job.model_dump(mode="json"))) > 200_000
    await node.stop()
