"""One agent without a supervisor: `python -m agent_runner.worker.process.direct`."""

import asyncio
import signal
from uuid import uuid4

import pytest

from contracts.ids import agent_identity
from tests.integration.agent_runner.direct_worker import event, start
from tests.integration.agent_runner.worker_stage import Person, Sandbox, open_room
from tests.support.servers import LiveKitServer
from tests.support.waiting import until


async def test_one_agent_talks_and_ends_on_sigterm(livekit: LiveKitServer, sandbox: Sandbox) -> None:
    session = f"session_{uuid4().hex}"
    await open_room(livekit, session)
    caller = await Person(livekit).enter(session)
    token = livekit.token(session, agent_identity(session))
    agent = await start(sandbox, "--url", livekit.url, "--token", token, "--session-id", session)
    try:
        assert (await event(agent, "turn"))["heard_text"] == "Hello! How can I help you?"
        agent.send_signal(signal.SIGTERM)
        assert (await event(agent, "stopped"))["cause"] == "ended"
        async with asyncio.timeout(5):
            assert await agent.wait() == 0
        await until(lambda: caller.left)
        assert caller.left == [agent_identity(session)]
    finally:
        if agent.returncode is None:
            agent.kill()
        await caller.leave()


@pytest.mark.parametrize(
    ("arguments", "changes", "line"),
    [
        ({"--token": "nonsense"}, {}, "refused the token"),
        ({"--url": "ws://127.0.0.1:9"}, {}, "could not be reached"),
        ({}, {"GROQ_API_KEY": "wrong"}, "GROQ_API_KEY"),
        ({}, {"ASSEMBLY_API_KEY": "wrong"}, "ASSEMBLY_API_KEY"),
        ({}, {"INWORLD_API_KEY": "wrong"}, "INWORLD_API_KEY"),
        ({"--voice-id": "Nobody"}, {}, "check INWORLD_API_KEY, the voice"),
        ({}, {"INWORLD_API_KEY": ""}, "INWORLD_API_KEY: is not set"),
        ({"--url": "nowhere"}, {}, "--url must start with"),
    ],
)
async def test_what_cannot_work_ends_with_one_line_that_says_why(
    livekit: LiveKitServer, sandbox: Sandbox, arguments: dict[str, str], changes: dict[str, str], line: str
) -> None:
    session = f"session_{uuid4().hex}"
    await open_room(livekit, session)
    given = {
        "--url": livekit.url,
        "--token": livekit.token(session, agent_identity(session)),
        "--session-id": session,
        **arguments,
    }
    agent = await start(sandbox, *(word for pair in given.items() for word in pair), **changes)
    async with asyncio.timeout(60):  # an unknown voice is silence at first
        _, stderr = await agent.communicate()
    assert agent.returncode in (1, 2)
    assert line in stderr.decode().splitlines()[-1]
