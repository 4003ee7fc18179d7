"""The bucket `queue`: the scheduler's last report of its queue."""

from chassis.nats import Bus, Change
from contracts.registry import QueueState
from contracts.streams import QUEUE
from gateway.domain.queue import may_be_full


class NatsStartQueue:
    """Follows the bucket, so that a start needs no read."""

    def __init__(self, bus: Bus) -> None:
        self._bucket = bus.bucket(QUEUE)
        self._state: QueueState | None = None

    async def watch(self) -> None:
        """Follow the bucket until cancelled."""
        await self._bucket.watch(self._changed)

    def may_be_full(self, seq: int | None) -> bool:
        return may_be_full(self._state, seq)

    @property
    def log_is_full(self) -> bool:
        return self._state is not None and self._state.log_is_full

    async def _changed(self, change: Change[QueueState]) -> None:
        self._state = change.value
