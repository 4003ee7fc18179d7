"""The bucket `queue`: how many starts wait, for the gateways."""

from typing import Final

from chassis.nats import Bus
from contracts.registry import QUEUE_KEY, QueueState
from contracts.streams import QUEUE
from scheduler.adapters.nats_errors import translated

_DEADLINE_S: Final = 1.0


class NatsQueueMirror:
    """The report expires when no scheduler renews it."""

    def __init__(self, bus: Bus) -> None:
        self._bucket = bus.bucket(QUEUE)

    async def report(self, state: QueueState) -> None:
        with translated():
            await self._bucket.put(QUEUE_KEY, state, deadline_s=_DEADLINE_S)
