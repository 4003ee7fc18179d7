"""The gateway as a real process, on real NATS, Redis and LiveKit."""

import json
import socket
import sys
from pathlib import Path
from typing import Any

import httpx

from tests.integration.servers import Server, free_port

LIVEKIT = Path(__file__).parents[3] / ".tools" / "bin" / "livekit-server"
API_KEY = "APItestkey"
API_SECRET = "a-secret-of-at-least-32-bytes-for-tests"


class LiveKitServer(Server):
    """livekit-server on loopback, without automatic rooms."""

    def __init__(self, folder: Path, *, webhook_url: str | None = None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.port, tcp, udp = free_port(), free_port(), free_port()
        self.url = f"ws://127.0.0.1:{self.port}"
        config: dict[str, Any] = {
            "port": self.port,
            "bind_addresses": ["127.0.0.1"],
            "rtc": {
                "node_ip": "127.0.0.1",
                "enable_loopback_candidate": True,
                "interfaces": {"includes": ["lo"]},
                "tcp_port": tcp,
                "udp_port": udp,
            },
            "room": {"auto_create": False},
            "keys": {API_KEY: API_SECRET},
        }
        if webhook_url:
            config["webhook"] = {"api_key": API_KEY, "urls": [webhook_url]}
        path = folder / "livekit.yaml"
        path.write_text(json.dumps(config))  # JSON is YAML
        super().__init__([str(LIVEKIT), "--config", str(path)], self._answers, folder / "livekit.log")

    def _answers(self) -> bool:
        try:
            return httpx.get(f"http://127.0.0.1:{self.port}/", timeout=1, trust_env=False).status_code == 200
        except httpx.HTTPError:
            return False


class Gateway(Server):
    """`python -m gateway.app`."""

    def __init__(self, folder: Path, environment: dict[str, str], *, port: int | None = None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = folder / "gateway.log"
        variables = {
            "HOST": "127.0.0.1",
            "PORT": str(self.port),
            "LIVEKIT_API_KEY": API_KEY,
            "LIVEKIT_API_SECRET": API_SECRET,
            "DRAIN_TIMEOUT_S": "2",
            **environment,
        }
        command = [
            "env",
            *(f"{name}={value}" for name, value in variables.items()),
            sys.executable,
            "-m",
            "gateway.app",
        ]
        super().__init__(command, self._answers, self.log)

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1):
                return True
        except OSError:
            return False
