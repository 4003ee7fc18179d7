"""The bucket `seats`: the first user who asked for a session id that a client chose."""

import time
from collections.abc import Callable
from typing import Final

from chassis import metrics
from chassis.nats import Bus, KeyChanged, KeyExists, StreamFull
from contracts.errors import SEATS_FULL, Refused
from contracts.registry import Seat
from contracts.streams import SEATS
from gateway.adapters.bucket_use import is_past_its_age, measure
from gateway.adapters.nats_errors import translated
from gateway.ports import NatsUnavailable

_RETRY_AFTER_S: Final = 60
_NOBODY: Final = Seat(user="")
_TRIES: Final = 3  # the key may expire or change between a refused write and the read

_USED = metrics.gauge("gateway_seats_used_ratio", "Share of SEATS_MAX_MB in use")
_FULL = metrics.counter("gateway_seats_refused_total", "Session ids of clients that were refused at SEATS_MAX_MB")


class NatsSeats:
    """`ports.Seats`; a user keeps a seat until the bucket's TTL."""

    def __init__(self, bus: Bus, *, deadline_s: float, now: Callable[[], float] = time.time) -> None:
        self._bucket = bus.bucket(SEATS)
        self._deadline_s = deadline_s
        self._now = now

    async def take(self, session_id: str, user: str) -> str:
        seat = Seat(user=user)
        with translated():
            try:
                for _ in range(_TRIES):
                    holder = await self._try(session_id, seat)
                    if holder is not None:
                        return holder
            except StreamFull as error:
                _FULL.inc()
                raise Refused(
                    SEATS_FULL,
                    "The gateway's store of session ids chosen by clients is full (SEATS_MAX_MB).",
                    retry_after_s=_RETRY_AFTER_S,
                ) from error
        raise NatsUnavailable(f"The seat of session {session_id} changes too fast.")

    async def erase(self, session_id: str) -> None:
        """Overwrite the user: NATS can bring a deleted key back."""
        with translated():
            entry = await self._bucket.get(session_id, deadline_s=self._deadline_s)
            if entry is not None and entry.value != _NOBODY:
                await self._bucket.put(session_id, _NOBODY, deadline_s=self._deadline_s)

    async def measure(self) -> None:
        await measure(self._bucket, _USED.set, deadline_s=self._deadline_s)

    async def _try(self, session_id: str, seat: Seat) -> str | None:
        """The user who has the seat; None: the key changed meanwhile."""
        try:
            await self._bucket.create(session_id, seat, deadline_s=self._deadline_s)
            return seat.user
        except KeyExists:
            entry = await self._bucket.get(session_id, deadline_s=self._deadline_s)
        if entry is None:
            return None
        if entry.value is not None and not is_past_its_age(entry, self._now()):
            return entry.value.user
        try:  # it came back, or is unreadable: replace it at its revision
            await self._bucket.update(session_id, seat, entry.revision, deadline_s=self._deadline_s)
        except KeyChanged:
            return None
        return seat.user
