"""An agent without a supervisor: `python -m agent_runner.worker.process.direct`."""

import asyncio
import json
import os
import sys
from typing import Any

from tests.integration.agent_runner.worker_stage import Sandbox


async def start(sandbox: Sandbox, *arguments: str, **changes: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "agent_runner.worker.process.direct", *arguments),
        env={**os.environ, **sandbox.environment(**changes)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def event(agent: asyncio.subprocess.Process, kind: str) -> dict[str, Any]:
    assert agent.stdout is not None
    async with asyncio.timeout(30):
        while line := await agent.stdout.readline():
            if (found := json.loads(line))["kind"] == kind:
                return found
    raise AssertionError(f"it ended without {kind}")
