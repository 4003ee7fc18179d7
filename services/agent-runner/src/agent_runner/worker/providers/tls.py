"""TLS contexts, made once in the forkserver: reading the trusted authorities takes 0.1 s of CPU time."""

import ssl
from typing import Final

SOCKETS: Final = ssl.create_default_context()
"""For WebSockets."""

HTTP: Final = ssl.create_default_context()
"""For the language model's client, which modifies its context."""


def options(url: str) -> dict[str, ssl.SSLContext]:
    """Options for a WebSocket to this address."""
    return {"ssl": SOCKETS} if url.startswith("wss:") else {}
