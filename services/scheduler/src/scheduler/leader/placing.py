"""Places a session: reserves or chooses a node, and publishes the next `assigned`."""

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Final

from chassis import logs
from contracts.end_reasons import EndReason
from contracts.events import Considered, JobAssigned, SessionQueued
from contracts.metering import Metered, is_spent
from contracts.registry import Slot
from scheduler.domain.admission import QueueFull, considered_at_start, successor
from scheduler.domain.board import Board
from scheduler.domain.ending import queue_deadline_ms
from scheduler.domain.facts import Blocked, Measured, QueueRefused
from scheduler.domain.placement import NoPlace
from scheduler.domain.session import Attempt, Recorded, Session
from scheduler.domain.slot_book import Reservation
from scheduler.leader.admitter import Admitter
from scheduler.leader.timekeeper import Timekeeper
from scheduler.ports import Outrun, SessionLog, Slots, Unavailable

_PAUSES: Final = (EndReason.NO_OTHER_NODE, EndReason.NODES_FAILING)  # a pause between two attempts, not a reason to end

log = logs.get_logger(__name__)


class Placing:
    """The action `Place`; True from each method means that it changed the log or the facts."""

    def __init__(
        self,
        board: Board,
        timekeeper: Timekeeper,
        session_log: SessionLog,
        slots: Slots,
        admitter: Admitter,
        *,
        note: Callable[[Recorded], None],
        measure: Callable[[str], Awaitable[Metered]],
    ) -> None:
        self._board = board
        self._timekeeper = timekeeper
        self._log = session_log
        self._slots = slots
        self._admitter = admitter
        self._note = note
        self._measure = measure

    async def first(self, session: Session) -> bool:
        """Begin the session if it is its turn; otherwise announce its place in the queue.

        Raises:
            Outrun: Another leader wrote first.
        """
        try:
            reservation = self._admitter.admit_or_queue(session.session_id)
        except QueueFull:
            self._board.roster.learn(session.session_id, QueueRefused(EndReason.QUEUE_FULL))
            return True
        if reservation is None:
            return await self._announce(session)
        try:
            return await self._begin(session, reservation)
        except (Outrun, Unavailable):
            self._board.admission.release(session.session_id)
            raise

    async def _begin(self, session: Session, reservation: Reservation) -> bool:
        session_id = session.session_id
        await self._take(reservation.slot, session_id)
        latest = self._board.roster.session(session_id)
        if latest is None or latest.end_asked or latest.has_ended:
            self._board.admission.release(session_id)
            return True
        self._note(
            await self._log.append(
                self._assigned(
                    session, 1, reservation.node_id, considered=self.considered(session, reservation.node_id)
                ),
                expect_last=0,
            )
        )
        self._board.admission.began(session_id)
        log.info("job.assigned", session_id=session_id, node_id=reservation.node_id, epoch=1, slot=reservation.slot)
        return True

    async def _take(self, key: int, session_id: str) -> None:
        try:
            await self._slots.take(key, Slot(session_id=session_id, taken_at=self._now()))
        except Outrun:
            self._board.admission.release(session_id)
            self._board.slots.contested(key, self._timekeeper.now_ms())
            raise
        self._board.slots.took(key, session_id)

    async def next(self, session: Session, current: Attempt) -> bool:
        """Give the session's next epoch to a node; if the grant is used up, learn the measurement that ends it instead.

        Raises:
            Outrun: Another leader wrote first.
        """
        session_id, learn = session.session_id, self._board.roster.learn
        now_ms, pause_ms = self._timekeeper.now_ms(), self._board.limits.retry_pause_ms
        try:
            node, nodes = successor(session, self._board.fleet, now_ms, pause_ms)
        except NoPlace as none:
            if none.reason not in _PAUSES:
                learn(session_id, Blocked(none.reason))
            return False
        learn(session_id, Blocked(None))
        metered = await self._measure(session_id) if session.ready_ms else None
        if metered is not None and is_spent(metered.billable_ms, session.granted_minutes):
            learn(session_id, Measured(metered.billable_ms, self._timekeeper.now_ms()))
            return True
        assigned = self._assigned(session, current.epoch + 1, node.node_id, metered, considered=nodes)
        self._note(await self._log.append(assigned, expect_last=current.seq))
        log.info("job.reassigned", session_id=session_id, node_id=node.node_id, epoch=assigned.epoch)
        return True

    async def _announce(self, session: Session) -> bool:
        if session.queued:
            return False
        session_id = session.session_id
        position = self._board.admission.position(session_id)
        facts = self._board.facts(session_id, self._timekeeper.now_ms())
        deadline = self._timekeeper.datetime(queue_deadline_ms(session, facts, self._board.limits))
        reason = self._board.admission.blocked
        queued = SessionQueued(
            session_id=session_id,
            time=self._now(),
            position=position,
            deadline_at=deadline,
            reason=reason or "",
            considered=() if reason == EndReason.MAX_BOTS else self.considered(session),
        )
        self._note(await self._log.append(queued))
        log.info("session.queued", session_id=session_id, position=position, reason=reason)
        return True

    def considered(self, session: Session, node_id: str | None = None) -> tuple[Considered, ...]:
        """See `considered_at_start`."""
        return considered_at_start(session, self._board.fleet, node_id, self._timekeeper.now_ms())

    def _assigned(
        self,
        session: Session,
        epoch: int,
        node_id: str,
        before: Metered | None = None,
        *,
        considered: tuple[Considered, ...],
    ) -> JobAssigned:
        return JobAssigned(
            session_id=session.session_id,
            time=self._now(),
            epoch=epoch,
            node_id=node_id,
            served_ms_before=0 if before is None else sum(e.served_ms for e in before.epochs),
            billable_ms_before=0 if before is None else before.billable_ms,
            granted_minutes=session.granted_minutes,
            considered=considered,
        )

    def _now(self) -> datetime:
        return self._timekeeper.datetime()
