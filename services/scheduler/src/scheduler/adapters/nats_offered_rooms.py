"""The bucket `prejoined`: rooms with an agent in them that wait for a start."""

from asyncio import Event as Signal
from collections.abc import Callable

from chassis.nats import Bucket, Bus, BusUnavailable, Change, KeyChanged, PublishRefused
from contracts.registry import PrejoinedRoom
from contracts.streams import PREJOINED
from pydantic import ValidationError

from chassis import logs
from scheduler.ports import OfferedRoom, Unavailable

log = logs.get_logger(__name__)


class NatsOfferedRooms:
    """The rooms over the service's bus."""

    def __init__(self, bus: Bus) -> None:
        self._bucket: Bucket = bus.bucket(PREJOINED)

    async def watch(self, changed: Callable[[str, OfferedRoom | None], None], caught_up: Signal) -> None:
        """Tell each room and each change of one, for ever."""

        async def tell(change: Change) -> None:
            if change.value is None:
                changed(change.key, None)
                return
            try:
                room = PrejoinedRoom.model_validate_json(change.value)
            except ValidationError as error:
                log.warning("room.unreadable", session_id=change.key, errors=error.error_count())
                return
            changed(change.key, OfferedRoom(room, change.revision))

        await self._bucket.watch(tell, ready=caught_up)

    async def withdraw(self, room: OfferedRoom) -> None:
        """Delete the room's key at its revision."""
        try:
            await self._bucket.delete(room.room.session_id, room.revision)
        except KeyChanged:
            return  # taken, or renewed; the next look sees which
        except (BusUnavailable, PublishRefused) as error:
            raise Unavailable(str(error)) from error
