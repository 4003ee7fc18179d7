"""The bucket `slots`: keys are only created, so that MAX_BOTS holds with any number of writers."""

import re
from typing import Final

from chassis.nats import Bus, Entry, KeyChanged, KeyExists
from contracts.registry import Slot
from contracts.streams import SLOTS
from scheduler.adapters.nats_errors import translated
from scheduler.ports import HeldSlot, Outrun

_DEADLINE_S: Final = 5.0
_KEY: Final = re.compile(r"0|[1-9][0-9]{0,8}")


class NatsSlots:
    def __init__(self, bus: Bus) -> None:
        self._bucket = bus.bucket(SLOTS)

    async def held(self) -> dict[int, HeldSlot]:
        with translated():
            entries = await self._bucket.all(deadline_s=_DEADLINE_S)
        held: dict[int, HeldSlot] = {}
        for key, entry in entries.items():
            if _KEY.fullmatch(key):
                held[int(key)] = HeldSlot(entry.value, entry.revision, entry.stored_ms)
        return held

    async def take(self, key: int, slot: Slot) -> None:
        try:
            with translated():
                await self._bucket.create(str(key), slot, deadline_s=_DEADLINE_S)
        except KeyExists as error:
            entry = await self._entry(key)
            owner = entry.value if entry is not None else None
            if owner is None or owner.session_id != slot.session_id:
                raise Outrun(f"slot {key} is taken") from error

    async def release(self, key: int, session_id: str) -> None:
        entry = await self._entry(key)
        owner = entry.value if entry is not None else None
        if entry is not None and owner is not None and owner.session_id == session_id:
            await self.sweep(key, HeldSlot(owner, entry.revision, entry.stored_ms))

    async def sweep(self, key: int, held: HeldSlot) -> None:
        try:
            with translated():
                await self._bucket.delete(str(key), held.revision, deadline_s=_DEADLINE_S)
        except KeyChanged:
            return  # another scheduler released it

    async def _entry(self, key: int) -> Entry[Slot] | None:
        with translated():
            return await self._bucket.get(str(key), deadline_s=_DEADLINE_S)
