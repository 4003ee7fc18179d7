"""The bus' errors in the words of the ports."""

from collections.abc import Generator
from contextlib import contextmanager

from agent_runner.ports import KeysUnavailable, LogUnavailable
from chassis.nats import BusUnavailable, PublishRefused


@contextmanager
def translated(unavailable: type[LogUnavailable | KeysUnavailable]) -> Generator[None]:
    """Raise `unavailable` when NATS does not answer by the deadline, or refuses."""
    try:
        yield
    except (BusUnavailable, PublishRefused) as error:
        raise unavailable(str(error)) from error
