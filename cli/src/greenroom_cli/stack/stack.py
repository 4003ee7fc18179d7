"""A local stack, or any part of it, as an async context manager: for `greenroom up`, the demo and tests.

async with running_stack(folder, StackOptions(parts={Part.NATS, Part.REDIS})) as stack:
    ...connect to stack.environment["NATS_URL"], then stack.processes["nats"].signal(SIGKILL)...
"""

import os
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from greenroom_cli.stack.options import Part, StackOptions
from greenroom_cli.stack.place import refuse_copy
from greenroom_cli.stack.plan import Plan
from greenroom_cli.stack.process import StackProcess
from greenroom_cli.stack.progress import Progress
from greenroom_cli.stack.state import Run, StateFolder
from greenroom_cli.stack.supervisor import Supervisor


@dataclass(frozen=True)
class Stack:
    """A running stack.

    Attributes:
        folder: Its state folder; logs are in `folder.logs`, one per process.
        environment: The variables of the parts that it started: NATS_URL, REDIS_URL, REDIS_READER_URL, LIVEKIT_URL,
            LIVEKIT_API_KEY, LIVEKIT_API_SECRET, DATABASE_URL, GREENROOM_URL and the providers' addresses.
        processes: By name ("nats", ..., "agent-runner" or with more nodes "agent-runner-1"), to signal, stop and start.
        supervisor: Its `supervise()` restarts processes that die; without it they stay dead.
    """

    folder: StateFolder
    environment: Mapping[str, str]
    processes: Mapping[str, StackProcess]
    supervisor: Supervisor

    @property
    def gateway_url(self) -> str:
        return self.environment["GREENROOM_URL"]


@asynccontextmanager
async def running_stack(
    folder: Path,
    options: StackOptions | None = None,
    progress: Progress | None = None,
    *,
    echo: BinaryIO | None = None,
) -> AsyncGenerator[Stack]:
    """Start a stack, and stop it in reverse order at the end of the block.

    Args:
        echo: Gets all that the processes write, in addition to the log files of the folder.

    Raises:
        CommandError: The folder is in use, a configured port is taken, a program is missing.
        ProcessFailed: A process did not start; the others have been stopped.
    """
    options = options or StackOptions()
    state = StateFolder(folder)
    with state.locked():
        plan = Plan(state, options)
        plan.refuse_bad_settings()
        if options.deployed and Part.NATS in options.parts:
            refuse_copy(state.path, options.environment["LIVEKIT_URL"], restored=options.restored)
        supervisor = Supervisor(state.logs, progress or Progress(), echo=echo)
        try:
            await supervisor.start(await plan.servers())
            await supervisor.start(plan.migrations())
            await supervisor.start(plan.services())
            url = plan.environment.get("GREENROOM_URL", "")
            state.publish(Run(pid=os.getpid(), gateway_url=url, environment=plan.environment))
            yield Stack(state, plan.environment, supervisor.processes, supervisor)
        finally:
            await supervisor.stop()
