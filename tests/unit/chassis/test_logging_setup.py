"""The tests' own configuration of logging ends with the test."""

import logging

import structlog

from tests.support.logging_setup import configured

_log = structlog.stdlib.get_logger()


def test_a_test_that_configures_logging_leaves_it_as_it_was() -> None:
    root, nats = logging.getLogger(), logging.getLogger("nats")
    before = (root.handlers[:], root.level, nats.level)

    with configured("gateway"):
        assert root.handlers != before[0]
        _log.info("said")

    assert (root.handlers, root.level, nats.level) == before
    assert not structlog.is_configured()
    with structlog.testing.capture_logs() as lines:
        _log.info("said again")
    assert [line["event"] for line in lines] == ["said again"], "a module's logger kept the configuration"
