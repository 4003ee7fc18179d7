"""The scheduler's queue, as it reported it last."""

from chassis.nats import Bucket, Bus, Change, read_value
from contracts.registry import QueueState
from contracts.streams import QUEUE

from gateway.domain.queue import may_be_full


class NatsStartQueue:
    """Follows the bucket `queue`, so that a start need not ask."""

    def __init__(self, bus: Bus) -> None:
        self._bucket: Bucket = bus.bucket(QUEUE)
        self._state: QueueState | None = None

    async def watch(self) -> None:
        """Follow the bucket, for ever."""
        await self._bucket.watch(self._changed)

    def may_be_full(self, seq: int | None) -> bool:
        """Whether the scheduler may refuse the start at this sequence of the log."""
        return may_be_full(self._state, seq)

    @property
    def log_is_full(self) -> bool:
        """Whether the scheduler reported that the log has no room for another call."""
        return self._state is not None and self._state.log_is_full

    async def _changed(self, change: Change) -> None:
        read = None
        if change.value is not None:
            read = read_value(QueueState, self._bucket.spec.name, change.key, change.value, change.revision)
        self._state = read
