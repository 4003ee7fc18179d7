"""The use of all streams and buckets, and billing's position in the log."""

import time
from collections.abc import Callable, Sequence
from typing import Final

from chassis.nats import Bus
from contracts.streams import BILLINGS_POSITION, BUCKETS, SESSIONS, STREAMS
from scheduler.adapters.nats_errors import translated
from scheduler.domain.log_room import BillingPosition, StoreUse
from scheduler.ports import Unavailable

_DEADLINE_S: Final = 2.0
_MISSING_S: Final = 60.0  # billing moves its consumer by recreating it, so it may be missing for a moment


class NatsStores:
    def __init__(self, bus: Bus, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._bus = bus
        self._clock = clock
        self._position: BillingPosition | None = None
        self._seen_at = 0.0

    async def uses(self) -> Sequence[StoreUse]:
        """The use of each; the bus recreates a missing one, and the next call reports it."""
        found: list[StoreUse] = []
        failure: Unavailable | None = None
        for spec in (*STREAMS, *BUCKETS):
            try:
                with translated():
                    use = await self._bus.use_of(spec, deadline_s=_DEADLINE_S)
            except Unavailable as error:
                failure = error
                continue
            found.append(
                StoreUse(
                    name=use.name,
                    bytes=use.bytes,
                    max_bytes=use.max_bytes,
                    messages=use.messages,
                    oldest_s=use.first_at.timestamp() if use.first_at else None,
                    first_seq=use.first_seq,
                    last_seq=use.last_seq,
                    consumers=use.consumers,
                )
            )
        if failure is not None and not found:
            raise failure
        return found

    async def billing(self) -> BillingPosition | None:
        """Billing's position; None: never seen, or last seen more than a minute ago."""
        with translated():
            position = await self._bus.position_of(SESSIONS, BILLINGS_POSITION)
        if position is None:
            return self._position if self._clock() - self._seen_at < _MISSING_S else None
        self._position, self._seen_at = BillingPosition(position.seq, position.waiting), self._clock()
        return self._position
