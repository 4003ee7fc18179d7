"""Which queued session begins next, with which slot and on which node; and where a session's next attempt runs."""

from contracts.end_reasons import EndReason
from contracts.events import Considered
from contracts.registry import NodeState
from scheduler.domain.considering import considered
from scheduler.domain.fairness import FairQueue, Waiting
from scheduler.domain.fleet import Fleet
from scheduler.domain.limits import Limits
from scheduler.domain.placement import NoPlace
from scheduler.domain.roster import Roster
from scheduler.domain.session import Session
from scheduler.domain.slot_book import Reservation, SlotBook

RESERVED_SHARE = 10
"""One place in so many, above MAX_QUEUE, is only for users with no start in the queue."""


class QueueFull(Exception):
    """The queue is full: MAX_QUEUE sessions; for a user without a queued start, a tenth more."""


class Admission:
    """The fair queue over the free slots and the fleet.

    Attributes:
        blocked: Why the first queued session could not begin at the last look; None: it could.
    """

    def __init__(self, roster: Roster, fleet: Fleet, limits: Limits) -> None:
        self.blocked: str | None = None
        self._queue = FairQueue()
        self.slots = SlotBook(limits.max_bots, roster, self._queue)
        self._roster = roster
        self._fleet = fleet
        self._max_queue = limits.max_queue

    def __len__(self) -> int:
        return len(self._queue)

    def __contains__(self, session_id: str) -> bool:
        return session_id in self._queue

    def admit_or_queue(self, session_id: str, now_ms: int) -> tuple[Reservation | None, list[str]]:
        """Queue a session, and admit every session whose turn it is.

        Returns:
            The session's reservation, None while it has to wait; and the other sessions that were admitted.

        Raises:
            QueueFull: The session may not queue.
        """
        reservation = self.slots.reserved.get(session_id)
        if reservation is not None:
            return reservation, []
        self.wait(session_id)
        others = [admitted for admitted in self.admit(now_ms) if admitted != session_id]
        return self.slots.reserved.get(session_id), others

    def wait(self, session_id: str) -> None:
        """Queue a session. A start that was queued before or holds a slot comes back even into a full queue.

        One user who fills the queue does not keep out another user's first start.

        Raises:
            QueueFull: The session may not queue.
        """
        session, facts = self._roster.session(session_id), self._roster.facts(session_id)
        if session_id in self._queue:
            return
        if session is None or facts is None or session.requested is None:
            raise QueueFull
        holds_slot, user_id = facts.slot is not None, session.requested.user_id
        reserved = 0 if self._queue.waiting(user_id) else self._max_queue // RESERVED_SHARE
        if not holds_slot and not session.queued and len(self._queue) >= self._max_queue + reserved:
            raise QueueFull
        self._queue.add(Waiting(session_id, user_id, session.requested_seq, holds_slot=holds_slot))

    def position(self, session_id: str) -> int:
        """The session's place in the queue, from 1."""
        return self._queue.position(session_id)

    def may_admit(self, now_ms: int) -> bool:
        """Whether `admit` may admit a session: one is queued, and a slot and a node are free."""
        return (
            len(self._queue) > 0
            and (self._queue.has_holders or self.slots.lowest_free(now_ms) is not None)
            and self._fleet.can_take_one(now_ms)
        )

    def admit(self, now_ms: int) -> list[str]:
        """Reserve a slot and a node for each session that can begin now, in fair order; returns those sessions."""
        admitted: list[str] = []
        self.blocked = None
        while (waiting := self._queue.first()) is not None:
            session_id = waiting.session_id
            session, facts = self._roster.session(session_id), self._roster.facts(session_id)
            own = None if facts is None else facts.slot
            key = own if own is not None else self.slots.lowest_free(now_ms)
            if key is None:
                self.blocked = EndReason.MAX_BOTS
                break
            try:
                node = self._fleet.choose(session_id=session_id, region=_region_of(session), now_ms=now_ms)
            except NoPlace as none:
                self.blocked = none.reason
                break
            self._queue.remove(session_id)
            self.slots.reserve(session_id, Reservation(key, node.node_id))
            self._fleet.count_on(session_id, node.node_id)
            admitted.append(session_id)
        return admitted

    def began(self, session_id: str) -> None:
        """Note that the reservation is written in the log."""
        self.slots.reserved.pop(session_id, None)

    def release(self, session_id: str) -> None:
        """Give a reserved slot and node back."""
        if session_id in self.slots.reserved:
            self.leave(session_id)
            self._fleet.release(session_id)
            if session := self._roster.session(session_id):
                self.follow(session)

    def leave(self, session_id: str) -> None:
        """Remove a session from the queue, and its reservation."""
        self._queue.remove(session_id)
        self.slots.unreserve(session_id)

    def follow(self, session: Session) -> None:
        """Keep the queue and the fleet's counts in step with the session's log."""
        session_id, current = session.session_id, session.current
        if session.has_ended or session.end_asked is not None:
            self.leave(session_id)
        if current is not None and not session.has_ended and current.epoch not in session.stops:
            self._queue.remove(session_id)
            self._fleet.count_on(session_id, current.node_id)
        elif session_id not in self.slots.reserved:
            self._fleet.release(session_id)


def successor(
    session: Session, fleet: Fleet, now_ms: int, retry_pause_ms: int
) -> tuple[NodeState, tuple[Considered, ...]]:
    """Choose the next attempt's node: a node that has not had this session if possible, never one that just failed it.

    A call with sealed words goes to a node of an older version only if no other is able: it cannot read what was said.

    Returns:
        The node, and the nodes that it was chosen from.

    Raises:
        NoPlace: With the reason.
    """
    tried = {attempt.node_id for attempt in session.attempts.values()}
    failed = (attempt for attempt in session.attempts.values() if attempt.epoch not in session.ready_ms)
    just_failed = {attempt.node_id for attempt in failed if now_ms - attempt.at_ms < retry_pause_ms}
    region = _region_of(session)
    has_sealed = session.started_ms is not None and session.requested is not None and session.requested.sealed != ""
    avoided = tried | fleet.older if has_sealed else tried
    node = fleet.choose(region=region, tried=avoided, just_failed=just_failed, now_ms=now_ms)
    return node, considered(
        fleet, node.node_id, region=region, tried=tried, just_failed=just_failed, now_ms=now_ms, has_sealed=has_sealed
    )


def considered_at_start(session: Session, fleet: Fleet, node_id: str | None, now_ms: int) -> tuple[Considered, ...]:
    """The nodes that were considered for a start; `node_id` is the chosen one, None while the start has to wait."""
    return considered(fleet, node_id, session_id=session.session_id, region=_region_of(session), now_ms=now_ms)


def _region_of(session: Session | None) -> str | None:
    """The region that the start's metadata asks for."""
    return session.requested.metadata.get("region") if session is not None and session.requested else None
