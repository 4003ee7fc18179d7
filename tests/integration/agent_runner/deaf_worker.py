"""A worker whose first subscriptions to the caller's track fail, as where LiveKit cannot bind a track."""

import os
import socket
from typing import Any

from agent_runner.agent_config import AgentConfig
from agent_runner.worker.process import main
from agent_runner.worker.room.transport import WarmClient

FAILURES = "DEAF_WORKER_FAILURES"  # how many

original = WarmClient._async_on_track_subscribed  # pyright: ignore[reportPrivateUsage]


async def fails(self: WarmClient, track: Any, publication: Any, participant: Any) -> None:
    if left := int(os.environ[FAILURES]):
        os.environ[FAILURES] = str(left - 1)
    else:
        await original(self, track, publication, participant)


def once(sock: socket.socket, config: AgentConfig) -> None:
    os.environ[FAILURES] = "1"
    WarmClient._async_on_track_subscribed = fails  # pyright: ignore[reportPrivateUsage]
    main.run(sock, config)


def always(sock: socket.socket, config: AgentConfig) -> None:
    os.environ[FAILURES] = "99"
    WarmClient._async_on_track_subscribed = fails  # pyright: ignore[reportPrivateUsage]
    main.run(sock, config)
