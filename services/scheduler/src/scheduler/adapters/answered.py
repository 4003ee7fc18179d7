"""Turns a bus that does not answer into the port's `Unavailable`."""

from collections.abc import Generator
from contextlib import contextmanager

from chassis.nats import BusUnavailable, PublishRefused
from scheduler.ports import Unavailable


@contextmanager
def answered() -> Generator[None]:
    """Translate the failures of the calls within.

    Raises:
        Unavailable: NATS did not answer by the deadline, or refused the message.
    """
    try:
        yield
    except (BusUnavailable, PublishRefused) as error:
        raise Unavailable(str(error)) from error
