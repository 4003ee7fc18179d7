"""The bucket `prejoined`."""

from asyncio import Event as Signal
from collections.abc import Callable

from chassis.nats import Bus, Change, KeyChanged
from contracts.registry import PrejoinedRoom
from contracts.streams import PREJOINED
from scheduler.adapters.nats_errors import translated
from scheduler.domain.prejoining import ListedRoom


class NatsPrejoinedRooms:
    def __init__(self, bus: Bus) -> None:
        self._bucket = bus.bucket(PREJOINED)

    async def watch(self, changed: Callable[[str, ListedRoom | None], None], caught_up: Signal) -> None:
        async def tell(change: Change[PrejoinedRoom]) -> None:
            room = change.value
            if room is not None and room.session_id == change.key:
                changed(change.key, ListedRoom(room, change.revision))
            else:
                changed(change.key, None)

        await self._bucket.watch(tell, ready=caught_up)

    async def retire(self, room: ListedRoom) -> None:
        try:
            with translated():
                await self._bucket.delete(room.room.session_id, room.revision)
        except KeyChanged:
            return  # claimed or renewed; the watch reports which
