"""A connection that is opened before the call: its failures cost no call, and are seen."""

from typing import Any

import pytest
from structlog.testing import capture_logs
from websockets.exceptions import InvalidURI

from agent_runner.worker.providers.early_connection import EarlyConnection
from tests.support.virtual_time import VirtualTimeLoop, run


@pytest.mark.parametrize(
    ("error", "event", "level"),
    [
        (ConnectionRefusedError(), "early_connection.failed", "debug"),
        (TimeoutError(), "early_connection.failed", "debug"),
        (InvalidURI("ws://x", "no host"), "early_connection.failed", "debug"),
        (AttributeError("a bug"), "early_connection.bug", "error"),
    ],
)
def test_a_connection_that_fails_is_logged_and_tried_again(error: Exception, event: str, level: str) -> None:
    early, tries = EarlyConnection(), 0

    async def connect() -> Any:
        nonlocal tries
        tries += 1
        if tries == 2:
            early.take("ws://x")
        raise error

    with capture_logs() as lines:
        run(early.hold("ws://x", connect), VirtualTimeLoop())

    assert [(line["event"], line["log_level"]) for line in lines] == [(event, level)] * 2
