"""What TLS needs, read once in the forkserver: reading the trusted authorities takes 0.1 s of CPU each time."""

from __future__ import annotations

import ssl
from typing import Final

SOCKETS: Final = ssl.create_default_context()
"""For WebSockets."""

HTTP: Final = ssl.create_default_context()
"""For the language model's client, which changes the context that it is given."""


def options(url: str) -> dict[str, ssl.SSLContext]:
    """What a WebSocket to this address is opened with."""
    return {"ssl": SOCKETS} if url.startswith("wss:") else {}
