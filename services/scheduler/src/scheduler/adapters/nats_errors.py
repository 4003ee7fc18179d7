"""The bus' errors in the words of the ports."""

from collections.abc import Generator
from contextlib import contextmanager

from chassis.nats import BusUnavailable, NotPermitted, PublishRefused
from scheduler.ports import Unavailable, WriteRefused


@contextmanager
def translated() -> Generator[None]:
    """Translate what the calls within raise.

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
