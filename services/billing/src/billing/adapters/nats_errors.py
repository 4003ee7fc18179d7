"""The bus' errors in the words of the ports."""

from collections.abc import Generator
from contextlib import contextmanager

from billing.ports import LogUnavailable
from chassis.nats import BusUnavailable, PublishRefused


@contextmanager
def translated() -> Generator[None]:
    """Raise `LogUnavailable` when NATS does not answer by the deadline, or refuses the message."""
    try:
        yield
    except (BusUnavailable, PublishRefused) as error:
        raise LogUnavailable(str(error)) from error
