"""The bucket `prejoined`: rooms with an agent in them that wait for a start."""

from asyncio import Event as Signal
from collections.abc import Callable

from chassis.nats import Bucket, Bus, BusUnavailable, Change, KeyChanged, PublishRefused, read_value
from contracts.registry import PrejoinedRoom
from contracts.streams import PREJOINED

from scheduler.ports import ListedRoom, Unavailable


class NatsPrejoinedRooms:
    """The rooms over the service's bus."""

    def __init__(self, bus: Bus) -> None:
        self._bucket: Bucket = bus.bucket(PREJOINED)

    async def watch(self, changed: Callable[[str, ListedRoom | None], None], caught_up: Signal) -> None:
        """Tell each room and each change of one, for ever."""

        async def tell(change: Change) -> None:
            if change.value is None:
                changed(change.key, None)
                return
            room = read_value(PrejoinedRoom, PREJOINED.name, change.key, change.value, change.revision)
            if room is None or room.session_id != change.key:
                changed(change.key, None)
                return
            changed(change.key, ListedRoom(room, change.revision))

        await self._bucket.watch(tell, ready=caught_up)

    async def withdraw(self, room: ListedRoom) -> None:
        """Delete the room's key at its revision."""
        try:
            await self._bucket.delete(room.room.session_id, room.revision)
        except KeyChanged:
            return  # taken, or renewed; the next look sees which
        except (BusUnavailable, PublishRefused) as error:
            raise Unavailable(str(error)) from error
