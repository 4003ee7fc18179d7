"""The sandbox as a process: the three providers without their bills."""

from __future__ import annotations

import socket
import sys
from pathlib import Path

from tests.integration.servers import Server, free_port


class SandboxServer(Server):
    """`python -m sandbox`."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        command = [sys.executable, "-m", "sandbox", "--port", str(self.port)]
        super().__init__(command, self._answers, folder / "sandbox.log")

    @property
    def env(self) -> dict[str, str]:
        """What makes a node use it."""
        return {
            "GROQ_API_KEY": "sandbox",
            "ASSEMBLY_API_KEY": "sandbox",
            "INWORLD_API_KEY": "sandbox",
            "GROQ_BASE_URL": f"{self.url}/openai/v1",
            "ASSEMBLY_BASE_URL": f"ws://127.0.0.1:{self.port}/v3/ws",
            "INWORLD_BASE_URL": f"ws://127.0.0.1:{self.port}/tts/v1/voice:streamBidirectional",
            "INWORLD_HTTP_URL": self.url,
            "SMART_TURN_STOP_SECS": "1",
        }

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1):
                return True
        except OSError:
            return False
