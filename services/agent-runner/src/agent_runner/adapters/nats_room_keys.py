"""The key-value bucket `prejoined`."""

from collections.abc import Generator
from contextlib import contextmanager
from typing import Final

from agent_runner.adapters.nats_errors import translated
from agent_runner.ports import KeyGone, KeysUnavailable
from chassis.nats import Bus, KeyChanged, KeyExists
from contracts.registry import PrejoinedRoom
from contracts.streams import PREJOINED

_DEADLINE_S: Final = 2.0


class NatsRoomKeys:
    """Writes with the bucket's TTL of 15 s."""

    def __init__(self, bus: Bus) -> None:
        self._rooms = bus.bucket(PREJOINED)

    async def offer(self, room: PrejoinedRoom) -> int:
        with translated(KeysUnavailable), _at_its_revision():
            return await self._rooms.create(room.session_id, room, deadline_s=_DEADLINE_S)

    async def renew(self, room: PrejoinedRoom, revision: int) -> int:
        """Renew the key, also when an earlier renewal was stored but its acknowledgement was lost."""
        with translated(KeysUnavailable), _at_its_revision():
            try:
                return await self._rooms.update(room.session_id, room, revision, deadline_s=_DEADLINE_S)
            except KeyChanged:
                entry = await self._rooms.get(room.session_id, deadline_s=_DEADLINE_S)
                if entry is None:
                    raise
                return await self._rooms.update(room.session_id, room, entry.revision, deadline_s=_DEADLINE_S)

    async def delete(self, session_id: str, revision: int) -> None:
        """Delete the key, also when a renewal was stored meanwhile."""
        with translated(KeysUnavailable), _at_its_revision():
            try:
                await self._rooms.delete(session_id, revision, deadline_s=_DEADLINE_S)
            except KeyChanged:
                entry = await self._rooms.get(session_id, deadline_s=_DEADLINE_S)
                if entry is None:
                    raise
                await self._rooms.delete(session_id, entry.revision, deadline_s=_DEADLINE_S)


@contextmanager
def _at_its_revision() -> Generator[None]:
    """Translate a compare-and-set that failed: the key is gone, or another's."""
    try:
        yield
    except (KeyChanged, KeyExists) as error:
        raise KeyGone(str(error)) from error
