"""The bucket `seats`: which user first asked for a session id of the client's choice."""

from typing import Final

from chassis.nats import Bucket, Bus, KeyExists
from contracts.registry import Seat
from contracts.streams import SEATS
from pydantic import ValidationError

from gateway.adapters.nats_log import translated
from gateway.ports import BusAway

_TRIES: Final = 2  # the key may expire between a refused create and the look at it


class NatsSeats:
    """Takes seats; the first taker keeps one until the bucket's TTL."""

    def __init__(self, bus: Bus, *, deadline_s: float) -> None:
        self._bucket: Bucket = bus.bucket(SEATS)
        self._deadline_s = deadline_s

    async def take(self, session_id: str, user: str) -> str:
        """Take the caller's seat; returns the user who has it."""
        value = Seat(user=user).model_dump_json().encode()
        with translated():
            for _ in range(_TRIES):
                try:
                    await self._bucket.create(session_id, value, deadline_s=self._deadline_s)
                except KeyExists:
                    entry = await self._bucket.get(session_id, deadline_s=self._deadline_s)
                    if entry is not None:
                        return _user_of(entry.value)
                else:
                    return user
        raise BusAway(f"The seat of session {session_id} changes too fast.")


def _user_of(value: bytes) -> str:
    try:
        return Seat.model_validate_json(value).user
    except ValidationError:
        return ""  # no user's: its session id is refused until the entry expires
