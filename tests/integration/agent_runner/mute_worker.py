"""A worker whose output hangs in the middle of a sentence, as a native library may."""

import asyncio
import socket
from typing import Any

from agent_runner.agent_config import AgentConfig
from agent_runner.worker.process import main
from agent_runner.worker.room.transport import WarmClient

_FRAMES = 30


def run(sock: socket.socket, config: AgentConfig) -> None:
    """Be a worker that falls mute after a second."""
    written = 0
    publish = WarmClient.publish_audio

    async def hang(self: WarmClient, audio_frame: Any) -> bool:
        nonlocal written
        written += 1
        if written > _FRAMES:
            await asyncio.sleep(60)
        return await publish(self, audio_frame)

    WarmClient.publish_audio = hang
    main.run(sock, config)
