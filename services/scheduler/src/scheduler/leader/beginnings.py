"""Writes the beginning of a session again where the log lost it, from what the leader knows."""

from collections.abc import Sequence
from typing import Final

from chassis import logs
from contracts.events import AgentStopped, Event, JobAssigned, ServedTick, TimeLost
from contracts.metering import LogRecord, meter
from scheduler.domain.lost_records import lost_records
from scheduler.domain.session import Recorded, Session
from scheduler.leader import figures
from scheduler.leader.timekeeper import Timekeeper
from scheduler.ports import SessionLog, WriteRefused

_NAMED: Final = 10_000
_MAY_REPEAT: Final = (AgentStopped, ServedTick, TimeLost)

log = logs.get_logger(__name__)


class Beginnings:
    """For sessions that run, and for those that end before the reconciler has restored them.

    Attributes:
        outages: How often NATS was away.
        compared: The outage after which the log was last compared with the open sessions.
    """

    def __init__(self, session_log: SessionLog, timekeeper: Timekeeper) -> None:
        self.outages = 0
        self.compared = 0
        self._log = session_log
        self._time = timekeeper
        self._named: set[str] = set()

    @property
    def in_doubt(self) -> bool:
        """Whether NATS was away since the log was last compared with the open sessions."""
        return self.compared != self.outages

    def report_loss(self, session_id: str, found: str) -> None:
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

    async def write_again(self, session: Session, history: Sequence[Recorded], found: str) -> Sequence[Recorded]:
        """Write what the log lost of this session; returns the session's records then.

        Args:
            history: All records of its log.
            found: What showed the loss.

        Raises:
            Outrun: Another leader wrote it otherwise.
            Unavailable: NATS does not answer; what is missing then is written by the next try.
        """
        lost = lost_records(session, history, self._time.now_ms(), self._time.datetime)
        if not lost:
            return history
        session_id = session.session_id
        self.report_loss(session_id, found)
        assigned = max((record.seq for record in history if isinstance(record.event, JobAssigned)), default=0)
        refused: list[Event] = []
        for event in lost[:-1]:
            if isinstance(event, JobAssigned):
                assigned = (await self._log.append(event, expect_last=assigned)).seq
            elif not await self._is_written(event):
                refused.append(event)
        lost_ms = sum(event.billable_ms for event in lost if isinstance(event, TimeLost))
        if refused:  # the node may have repeated its own reports meanwhile
            lost_ms += _billable_ms(refused, await self._log.history(session_id), self._time.now_ms())
        await self._log.append(lost[-1], expect_last=0)  # `requested`: until it is there, the next try repeats all
        figures.RESTORED.inc()
        figures.LOST_SECONDS.inc(lost_ms / 1000)
        log.error(
            "session.restored",
            session_id=session_id,
            events=[event.event for event in lost if event not in refused],
            refused=[event.event for event in refused],
            epoch=session.epoch,
            unbilled_ms=lost_ms,
        )
        return await self._log.history(session_id)

    async def _is_written(self, event: Event) -> bool:
        """Write the event; False: NATS does not permit its subject, because its users are of an older version."""
        try:
            await self._log.append(event, expect_last=None if isinstance(event, _MAY_REPEAT) else 0)
        except WriteRefused as error:
            log.warning(
                "session.record_refused",
                session_id=event.session_id,
                kind=event.event,
                reason=str(error),
                fix="Replace the users of NATS: docs/runbooks/backplane-users.md.",
            )
            return False
        return True


def _billable_ms(refused: Sequence[Event], history: Sequence[Recorded], now_ms: int) -> int:
    """The billable time that only the refused events would prove."""
    known = [LogRecord(record.event, record.stored_ms) for record in history]
    whole = meter([*known, *(LogRecord(event, now_ms) for event in refused)])
    return whole.billable_ms - meter(known).billable_ms
