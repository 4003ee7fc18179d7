"""Restores sessions whose beginning the log lost, from what their nodes and the leader know."""

from collections.abc import Iterable
from datetime import datetime
from typing import Final

from chassis import logs
from contracts.commands import JobDescribed
from contracts.events import JobAssigned, SessionRequested
from contracts.registry import Slot
from scheduler.domain.reconciling import StaleJob
from scheduler.domain.session import Attempt, Session
from scheduler.domain.standing import Standing, standing
from scheduler.leader import figures
from scheduler.leader.conductor import Conductor
from scheduler.ports import Nodes, Outrun, SessionLog, Slots, Unavailable

_NAMED: Final = 10_000

log = logs.get_logger(__name__)


class Restorer:
    """Writes a lost beginning again, so that the session can be ended, taken over and billed."""

    def __init__(self, conductor: Conductor, session_log: SessionLog, slots: Slots, nodes: Nodes) -> None:
        self._conductor = conductor
        self._log = session_log
        self._slots = slots
        self._nodes = nodes
        self._named: set[str] = set()

    def name(self, session_id: str, found: str) -> None:
        """Log once that the log lost this session's beginning; its room or slot is kept."""
        if session_id in self._named or len(self._named) >= _NAMED:
            return
        self._named.add(session_id)
        figures.LOST.inc()
        log.error(
            "session.beginning_lost",
            session_id=session_id,
            found=found,
            fix="See docs/runbooks/lost-log.md: the log deleted its oldest messages, or NATS lost its store.",
        )

    async def standing(self, session_id: str, made_ms: int | None) -> Standing:
        """Whether a session is open, has ended, or has lost its beginning, by the log.

        Args:
            made_ms: When its room or slot was made, Unix ms; None: unknown.
        """
        history = await self._log.history(session_id)
        # Asked second: a message that is deleted meanwhile must not count as never written.
        return standing(history, made_ms=made_ms, begins_ms=await self._log.begins_ms())

    async def restore_all(self, known: Iterable[Session]) -> None:
        """Restore the sessions that are older than the log.

        Raises:
            Unavailable: NATS does not answer; the next round retries.
        """
        begins_ms = await self._log.begins_ms()
        for session in known:
            if session.requested is None or session.requested_ms >= begins_ms:
                continue
            try:
                await self._restore_known(session)
            except Unavailable:
                raise
            except Exception:  # one session must not end the term
                log.exception("session.restore_bug", session_id=session.session_id)

    async def restore(self, job: StaleJob, known: Session | None = None) -> None:
        """Restore a running job: its node repeats its reports, and the session begins again in the log.

        Earlier epochs are lost with the log; they are not billed.

        Args:
            known: The session as the leader knew it; None: only the node knows it.

        Raises:
            Unavailable: NATS does not answer; the next round retries.
        """
        self.name(job.session_id, "job")
        described = await self._nodes.describe(job.node_id, job.session_id, job.epoch)
        attempt = None if known is None else known.attempts.get(job.epoch)
        age_ms = self._age_ms(described, attempt)
        if described is not None:
            requested = _requested(job.session_id, described, self._now())
            assigned = _assigned(job, described, age_ms, self._now())
        elif known is not None and known.requested is not None and attempt is not None:
            requested, assigned = known.requested, _assigned(job, attempt, age_ms, self._now())
        else:
            log.warning("session.not_described", session_id=job.session_id, node_id=job.node_id, epoch=job.epoch)
            return
        # `assigned` first: a session with only its `requested` would be placed again.
        if await self._write_again(assigned, requested if known is None else known.requested or requested):
            await self._take_slot(job.session_id)
            log.error(
                "session.restored",
                session_id=job.session_id,
                node_id=job.node_id,
                epoch=job.epoch,
                is_reported=described is not None,
                age_ms=age_ms,
                unbilled_ms=assigned.billable_ms_before or assigned.served_ms_before,
            )

    def _age_ms(self, described: JobDescribed | None, attempt: Attempt | None) -> int:
        """How long the epoch has run, the upper bound of its bill.

        The leader's own time is by the log's clock and comes first; a node's is capped at the longest call.
        """
        if attempt is not None:
            return max(0, self._conductor.time.now_ms() - attempt.at_ms + attempt.age_ms)
        limits = self._conductor.board.limits
        longest_ms = limits.startup_ms + limits.session_ms + limits.end_wait_ms
        return 0 if described is None else min(described.age_ms, longest_ms)

    async def _restore_known(self, session: Session) -> None:
        session_id, current = session.session_id, session.current
        if await self.standing(session_id, session.requested_ms) is not Standing.LOST:
            return
        if current is not None:
            await self.restore(StaleJob(session_id, current.epoch, current.node_id), session)
        elif session.requested is not None and session.end_asked is None:
            # No node had it: it queues again, with its full deadline.
            self.name(session_id, "start")
            await self._write_again(session.requested)

    async def _write_again(self, *events: SessionRequested | JobAssigned) -> bool:
        """Write these and follow the session by the new log only; False: another leader was faster."""
        session_id = events[0].session_id
        try:
            for event in events:
                await self._log.append(event, expect_last=0)
        except Outrun as error:
            log.warning("session.not_restored", session_id=session_id, reason=str(error))
            return False
        figures.RESTORED.inc()
        history = await self._log.history(session_id)
        # The known sequences are those of the lost log. `add` first, so that the records count in any order.
        self._conductor.board.remove(session_id)
        self._conductor.board.roster.add(session_id)
        for record in history:
            self._conductor.heard(record)
        return True

    async def _take_slot(self, session_id: str) -> None:
        """Take the lowest free slot; if all are taken, the call runs without one."""
        board = self._conductor.board
        held = await self._slots.held()
        for key, entry in held.items():
            if entry.session_id == session_id:
                board.slots.took(key, session_id)
                return
        for key in range(board.limits.max_bots):
            if key in held:
                continue
            try:
                await self._slots.take(key, Slot(session_id=session_id, taken_at=self._now()))
            except Outrun:
                continue
            board.slots.took(key, session_id)
            return

    def _now(self) -> datetime:
        return self._conductor.time.datetime()


def _requested(session_id: str, job: JobDescribed, now: datetime) -> SessionRequested:
    return SessionRequested(
        session_id=session_id,
        time=now,
        user_name=job.user_name,
        user_id=job.user_id,
        voice_id=job.voice_id,
        opening_line=job.opening_line,
        system_prompt=job.system_prompt,
        language=job.language,
        end_call=job.end_call,
        tools=job.tools,
        credit_limit_minutes=job.granted_minutes,
    )


def _assigned(job: StaleJob, told: JobDescribed | Attempt, age_ms: int, now: datetime) -> JobAssigned:
    return JobAssigned(
        session_id=job.session_id,
        time=now,
        epoch=job.epoch,
        node_id=job.node_id,
        served_ms_before=told.served_ms_before,
        billable_ms_before=told.billable_ms_before,
        granted_minutes=told.granted_minutes,
        age_ms=age_ms,
    )
