"""The bucket `slots`: create-only keys, so that MAX_BOTS holds whoever writes."""

from typing import Final

from chassis.nats import Bucket, Bus, BusUnavailable, KeyChanged, KeyExists
from contracts.registry import Slot
from contracts.streams import SLOTS
from pydantic import ValidationError

from scheduler.ports import HeldSlot, Outrun, Unavailable

_DEADLINE_S: Final = 5.0


class NatsSlots:
    """The slots over the service's bus."""

    def __init__(self, bus: Bus) -> None:
        self._bucket: Bucket = bus.bucket(SLOTS)

    async def held(self) -> dict[int, HeldSlot]:
        """All that are held."""
        try:
            entries = await self._bucket.all(deadline_s=_DEADLINE_S)
        except BusUnavailable as error:
            raise Unavailable(str(error)) from error
        held: dict[int, HeldSlot] = {}
        for key, entry in entries.items():
            slot = _read(entry.value)
            if key.isdecimal() and slot is not None:
                held[int(key)] = HeldSlot(slot, entry.revision)
        return held

    async def take(self, key: int, slot: Slot) -> None:
        """Create the key; once more for the same session is fine."""
        try:
            await self._bucket.create(str(key), slot.model_dump_json().encode(), deadline_s=_DEADLINE_S)
        except KeyExists as error:
            owner = await self._owner(key)
            if owner is None or owner.slot.session_id != slot.session_id:
                raise Outrun(f"slot {key} is taken") from error
        except BusUnavailable as error:
            raise Unavailable(str(error)) from error

    async def free(self, key: int, session_id: str) -> None:
        """Delete the key if it is this session's."""
        owner = await self._owner(key)
        if owner is None or owner.slot.session_id != session_id:
            return
        try:
            await self._bucket.delete(str(key), owner.revision, deadline_s=_DEADLINE_S)
        except KeyChanged:
            return  # somebody else freed it meanwhile
        except BusUnavailable as error:
            raise Unavailable(str(error)) from error

    async def _owner(self, key: int) -> HeldSlot | None:
        try:
            entry = await self._bucket.get(str(key), deadline_s=_DEADLINE_S)
        except BusUnavailable as error:
            raise Unavailable(str(error)) from error
        slot = _read(entry.value) if entry is not None else None
        return HeldSlot(slot, entry.revision) if entry is not None and slot is not None else None


def _read(value: bytes) -> Slot | None:
    try:
        return Slot.model_validate_json(value)
    except ValidationError:
        return None
