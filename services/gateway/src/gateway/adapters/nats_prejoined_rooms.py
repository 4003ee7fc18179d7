"""The bucket `prejoined`: the prejoined rooms, and how a start claims one."""

import asyncio
import random
from typing import Final

from chassis import metrics
from chassis.logs import get_logger
from chassis.nats import Bus, BusUnavailable, Change, KeyChanged, PublishRefused
from contracts.registry import PrejoinedRoom
from contracts.streams import PREJOINED

log = get_logger(__name__)

_TAKE_S: Final = 0.5  # a start without such a room is hardly slower than this
_TRIES: Final = 3  # after each failed one another gateway has the room

_CLAIMS = metrics.counter(
    "gateway_prejoined_claims_total", "Starts that could use a prejoined room: hit, none, lost", ("result",)
)


class NatsPrejoinedRooms:
    """Follows the bucket, so that a start needs no read, and claims a room by deleting its key at its revision."""

    def __init__(self, bus: Bus) -> None:
        self._bucket = bus.bucket(PREJOINED)
        self._rooms: dict[str, tuple[PrejoinedRoom, int]] = {}
        self._were_any = False

    async def watch(self) -> None:
        """Follow the bucket until cancelled."""
        await self._bucket.watch(self._changed)

    @property
    def ids(self) -> frozenset[str]:
        return frozenset(self._rooms)

    async def claim(self, *, region: str | None) -> str | None:
        if not self._were_any:
            return None
        lost = False
        try:
            async with asyncio.timeout(_TAKE_S):
                for _ in range(_TRIES):
                    # A random one, so that gateways do not all try the same room.
                    suitable = [name for name, (room, _) in self._rooms.items() if region in (None, room.region)]
                    if not suitable:
                        break
                    session_id = random.choice(suitable)
                    if await self._delete(session_id):
                        _CLAIMS.labels("hit").inc()
                        return session_id
                    lost = True
        except (TimeoutError, BusUnavailable, PublishRefused) as error:
            log.warning("prejoined.not_taken", reason=str(error) or f"NATS did not answer in {_TAKE_S:g} s")
            lost = True
        _CLAIMS.labels("lost" if lost else "none").inc()
        return None

    async def _delete(self, session_id: str) -> bool:
        """Delete the key at its revision, which only one gateway can do; True: the room is ours."""
        _, revision = self._rooms.pop(session_id)
        try:
            await self._bucket.delete(session_id, revision, deadline_s=_TAKE_S)
        except KeyChanged:
            renewed = await self._bucket.get(session_id, deadline_s=_TAKE_S)
            if renewed is None:
                return False
            try:
                await self._bucket.delete(session_id, renewed.revision, deadline_s=_TAKE_S)
            except KeyChanged:
                return False
        return True

    async def _changed(self, change: Change[PrejoinedRoom]) -> None:
        room = change.value
        if room is None or room.session_id != change.key:  # a start would get the key as its session id
            self._rooms.pop(change.key, None)
            return
        self._rooms[change.key] = (room, change.revision)
        self._were_any = True
