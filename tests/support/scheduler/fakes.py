"""Fakes of the scheduler's ports that the world of `world.py` does not have."""

import asyncio
import time
from asyncio import Event as Signal
from collections.abc import Callable, Sequence
from dataclasses import replace

from contracts.registry import PrejoinedRoom
from contracts.streams import SESSIONS
from scheduler.domain.log_room import BillingPosition, StoreUse
from scheduler.domain.prejoining import ListedRoom


class FakeStores:
    """`ports.Stores` with these uses, and a log that `write` makes longer."""

    def __init__(self, *found: StoreUse, position: BillingPosition | None = None) -> None:
        self.found = {use.name: use for use in found}
        self.position = position

    async def uses(self) -> Sequence[StoreUse]:
        return [*self.found.values()]

    async def billing(self) -> BillingPosition | None:
        return self.position

    def write(self) -> int:
        """Add one message to the log; returns its sequence."""
        log = self.found.get(SESSIONS.name) or StoreUse(SESSIONS.name, 0, 0, 0, time.time(), 1, 0, 0)
        log = replace(log, bytes=log.bytes + 100, messages=log.messages + 1, last_seq=log.last_seq + 1)
        self.found[SESSIONS.name] = log
        if self.position is not None:
            self.position = replace(self.position, waiting=self.position.waiting + 1)
        return log.last_seq

    def read_to(self, seq: int) -> None:
        """Billing has settled everything up to here."""
        self.position = BillingPosition(seq, self.found[SESSIONS.name].last_seq - seq)


class FakePrejoinedRooms:
    """The bucket `prejoined`: a node offers rooms, a gateway takes them."""

    def __init__(self) -> None:
        self.offered: dict[str, ListedRoom] = {}
        self._revision = 0
        self._tell: Callable[[str, ListedRoom | None], None] | None = None

    async def watch(self, changed: Callable[[str, ListedRoom | None], None], caught_up: Signal) -> None:
        for session_id, listed in self.offered.items():
            changed(session_id, listed)
        self._tell = changed
        caught_up.set()
        await asyncio.Event().wait()

    async def retire(self, room: ListedRoom) -> None:
        if self.offered.get(room.room.session_id) == room:
            self.take(room.room.session_id)

    def offer(self, room: PrejoinedRoom) -> None:
        """Create the room's key, or renew it."""
        self._revision += 1
        self.offered[room.session_id] = ListedRoom(room, self._revision)
        self._say(room.session_id, self.offered[room.session_id])

    def take(self, session_id: str) -> None:
        """Delete the key, as a claim and an expiry do."""
        if self.offered.pop(session_id, None) is not None:
            self._say(session_id, None)

    def _say(self, session_id: str, listed: ListedRoom | None) -> None:
        if self._tell is not None:
            self._tell(session_id, listed)
