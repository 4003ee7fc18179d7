"""The bus' errors in the words of the ports."""

from collections.abc import Generator
from contextlib import contextmanager

from chassis.logs import get_logger
from chassis.nats import BusUnavailable, NotStored, PublishRefused, StreamFull
from contracts.errors import LOG_REFUSED, Refused
from gateway.ports import LogFull, NatsUnavailable

log = get_logger(__name__)


def nats_unavailable(reason: str) -> NatsUnavailable:
    log.warning("bus.unavailable", reason=reason)  # it names the address, which is not for the client
    return NatsUnavailable("NATS does not answer.")


@contextmanager
def translated() -> Generator[None]:
    try:
        yield
    except (NotStored, StreamFull) as error:
        log.error("bus.stores_nothing", reason=str(error))
        raise LogFull from error
    except BusUnavailable as error:
        raise nats_unavailable(str(error)) from error
    except PublishRefused as error:
        log.error("publish.refused", subject=error.subject, reason=error.reason)
        raise Refused(LOG_REFUSED, "NATS refused to store this event.") from error
