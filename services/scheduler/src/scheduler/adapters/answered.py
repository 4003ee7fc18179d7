"""Turns a bus that does not answer into the port's `Unavailable`."""

from collections.abc import Generator
from contextlib import contextmanager

from chassis.nats import BusUnavailable, NotPermitted, PublishRefused
from scheduler.ports import Unavailable, WriteRefused


@contextmanager
def answered() -> Generator[None]:
    """Translate the failures of the calls within.

    Raises:
        WriteRefused: NATS refused the message.
        Unavailable: NATS did not answer by the deadline.
    """
    try:
        yield
    except (NotPermitted, PublishRefused) as error:
        raise WriteRefused(str(error)) from error
    except BusUnavailable as error:
        raise Unavailable(str(error)) from error
