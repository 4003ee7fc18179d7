"""After a full disk: the stream ignores each publish, and everything else of its server goes on."""

from typing import Final

from nats.aio.client import Client

from chassis import metrics
from chassis.nats.errors import BusUnavailable, NotStored
from chassis.nats.jetstream.stream_use import stream_use

_LOOK_S: Final = 0.3  # beyond a publish's deadline, to see why it failed

_NOT_STORED = metrics.counter(
    "bus_not_stored_total", "Publishes to a stream that answers and stores nothing: a full disk", ("stream",)
)


async def tell_a_full_disk(nc: Client, stream: str, error: BusUnavailable, *, url: str) -> None:
    """Look why a publish got no answer; contracts/users.py lets each user ask about the streams that it writes.

    Raises:
        NotStored: The stream answers, and stores nothing.
    """
    try:
        await stream_use(nc, stream, deadline_s=_LOOK_S, url=url)
    except BusUnavailable:
        return
    _NOT_STORED.labels(stream).inc()
    raise NotStored(error.doing, stream, url) from error
