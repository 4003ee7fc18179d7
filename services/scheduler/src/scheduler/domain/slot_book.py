"""Which session owns which slot: what the bucket showed, what this leader wrote, and what it reserves."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from scheduler.domain.facts import SlotLost, SlotTaken
from scheduler.domain.fairness import FairQueue
from scheduler.domain.roster import Roster
from scheduler.domain.session import Session
from scheduler.domain.slots import SlotTable

_CONTESTED_MS: Final = 15_000  # the reconciler has read the bucket again by then


@dataclass(frozen=True, slots=True)
class Reservation:
    """A slot and a node for a session, not yet written anywhere."""

    slot: int
    node_id: str


class SlotBook:
    """Keeps the table of slots, the sessions' facts and the users' running counts in step.

    Attributes:
        reserved: Session -> its reservation.
    """

    def __init__(self, max_bots: int, roster: Roster, queue: FairQueue) -> None:
        self.reserved: dict[str, Reservation] = {}
        self._table = SlotTable(max_bots)
        self._roster = roster
        self._queue = queue

    def __len__(self) -> int:
        return len(self._table)

    def mark(self) -> int:
        """A point in time to take before a read of the bucket: slots that change here afterwards are newer."""
        return self._table.mark()

    def lowest_free(self, now_ms: int) -> int | None:
        """The lowest free slot; None: all are held."""
        return self._table.lowest_free(now_ms)

    def read(self, slots: Mapping[int, str], mark: int | None = None) -> None:
        """Take in the bucket, key -> session.

        Slots that were reserved or taken here stay even if the bucket does not hold them (yet). A slot that the bucket
        gives to another session is lost, unless it changed here after the mark.
        """
        for key in {*self._table, *slots}:
            if mark is not None and self._table.has_changed(key, mark):
                continue
            known, read = self._table.owner(key), slots.get(key)
            if read is None:
                if known is not None and not self._owns(known, key):
                    self._release(key)
                continue
            if known != read:
                self._lose(key, known)
                self._hold(key, read)
            facts = self._roster.facts(read)
            if facts is not None and facts.slot is None:
                self._roster.learn(read, SlotTaken(key))

    def reserve(self, session_id: str, reservation: Reservation) -> None:
        """Set a slot aside for a session."""
        self._hold(reservation.slot, session_id)
        self.reserved[session_id] = reservation

    def unreserve(self, session_id: str) -> None:
        """Release a reserved slot, unless the session owns it by now."""
        reservation = self.reserved.pop(session_id, None)
        facts = self._roster.facts(session_id)
        if reservation is None or (facts is not None and facts.slot == reservation.slot):
            return
        if self._table.owner(reservation.slot) == session_id:
            self._release(reservation.slot)

    def took(self, key: int, session_id: str) -> None:
        """Note that the session's slot is written in the bucket."""
        self._hold(key, session_id)
        self._roster.learn(session_id, SlotTaken(key))

    def released(self, key: int, session_id: str) -> None:
        """Note that the session's slot is deleted from the bucket."""
        if self._table.owner(key) == session_id:
            self._release(key)
        self._lose(key, session_id)

    def contested(self, key: int, now_ms: int) -> None:
        """Note that another writer's value was found in this slot: hand it out only after the bucket was read."""
        self._table.contest(key, now_ms + _CONTESTED_MS)

    def user_changed(self, before: Session, session: Session) -> None:
        """Count the session's slots for its user, once `requested` names one."""
        if _user_of(session) != _user_of(before):
            held = self._table.held_by(session.session_id)
            self._count(before, -held)
            self._count(session, held)

    def removed(self, session: Session) -> None:
        """Stop counting a session that is not followed any longer; its slots stay held until they are released."""
        self._count(session, -self._table.held_by(session.session_id))

    def _owns(self, session_id: str, key: int) -> bool:
        reservation, facts = self.reserved.get(session_id), self._roster.facts(session_id)
        return (reservation is not None and reservation.slot == key) or (facts is not None and facts.slot == key)

    def _lose(self, key: int, session_id: str | None) -> None:
        if session_id is not None:
            self._roster.learn(session_id, SlotLost(key))

    def _hold(self, key: int, session_id: str) -> None:
        if self._table.owner(key) != session_id:
            self._release(key)
            self._table.hold(key, session_id)
            self._count(self._roster.session(session_id), 1)

    def _release(self, key: int) -> None:
        session_id = self._table.owner(key)
        if session_id is not None:
            self._table.release(key)
            self._count(self._roster.session(session_id), -1)

    def _count(self, session: Session | None, more: int) -> None:
        user_id = _user_of(session)
        if user_id is not None:
            self._queue.runs(user_id, more)


def _user_of(session: Session | None) -> str | None:
    return None if session is None or session.requested is None else session.requested.user_id
