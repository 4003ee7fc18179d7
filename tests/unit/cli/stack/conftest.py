"""What several tests of the stack need."""

import socket
from collections.abc import Iterator

import pytest

from greenroom_cli.stack.ports import LOOPBACK


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.socket() as server:
        server.bind((LOOPBACK, 0))
        server.listen()
        yield server.getsockname()[1]
