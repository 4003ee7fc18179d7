"""The bucket `queue`: the scheduler's last report of its queue."""

from chassis.nats import Bus, Change
from contracts.registry import QueueState
from contracts.streams import QUEUE
from gateway.domain.queue import may_be_full


class NatsStartQueue:
    """Follows the bucket, so that a start needs no read.

    Attributes:
        state: The last report; None: no scheduler leads.
    """

    def __init__(self, bus: Bus) -> None:
        self._bucket = bus.bucket(QUEUE)
        self.state: QueueState | None = None
        self._opens_words = True

    async def watch(self) -> None:
        """Follow the bucket until cancelled."""
        await self._bucket.watch(self._changed)

    def may_be_full(self, seq: int | None) -> bool:
        return may_be_full(self.state, seq)

    @property
    def log_is_full(self) -> bool:
        return self.state is not None and self.state.log_is_full

    @property
    def opens_words(self) -> bool:
        """As the last report says; True before the first one, since the scheduler is upgraded before the gateway."""
        return self._opens_words

    async def _changed(self, change: Change[QueueState]) -> None:
        self.state = change.value
        if self.state is not None:
            self._opens_words = self.state.opens_words
