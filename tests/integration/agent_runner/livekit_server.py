"""A livekit-server on loopback, and the tokens for its rooms."""

from __future__ import annotations

import json
import socket
from datetime import timedelta
from pathlib import Path

from livekit import api

from tests.integration.servers import Server, free_port

BINARY = Path(__file__).parents[3] / ".tools" / "bin" / "livekit-server"
KEY = "APItestkey"
SECRET = "a-secret-of-at-least-32-bytes-for-tests"


class LiveKitServer(Server):
    """Rooms have to be created; media stays on loopback."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self.url = f"ws://127.0.0.1:{self.port}"
        config = folder / "livekit.json"
        config.write_text(  # JSON is YAML
            json.dumps(
                {
                    "port": self.port,
                    "bind_addresses": ["127.0.0.1"],
                    "rtc": {
                        "node_ip": "127.0.0.1",
                        "enable_loopback_candidate": True,
                        "interfaces": {"includes": ["lo"]},
                        "udp_port": free_port(),
                        "tcp_port": free_port(),
                    },
                    "keys": {KEY: SECRET},
                    "room": {"auto_create": False},
                }
            )
        )
        super().__init__([str(BINARY), "--config", str(config)], self._answers, folder / "livekit.log")

    def rooms(self) -> api.LiveKitAPI:
        """Its API; to be closed."""
        return api.LiveKitAPI(self.url.replace("ws://", "http://"), KEY, SECRET)

    def token(self, room: str, identity: str) -> str:
        """To join one room, speak and listen."""
        grants = api.VideoGrants(room_join=True, room=room, can_publish=True, can_subscribe=True)
        token = api.AccessToken(KEY, SECRET).with_identity(identity).with_grants(grants)
        return token.with_ttl(timedelta(minutes=10)).to_jwt()

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1):
                return True
        except OSError:
            return False
