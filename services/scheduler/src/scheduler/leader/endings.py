"""Ends a session: stops its agent, measures its time, writes `ended`, deletes its room."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from chassis import logs
from contracts.events import AgentStopped, Considered, SessionEnded
from contracts.metering import LogRecord, Metered, meter
from scheduler.domain.decision import StopAgent
from scheduler.domain.facts import Fact, Facts, Verdict
from scheduler.domain.reconciling import STALE
from scheduler.domain.session import BEHIND_ALL, Recorded, Session, fold
from scheduler.leader.agents import Agents
from scheduler.leader.beginnings import Beginnings
from scheduler.leader.timekeeper import Timekeeper
from scheduler.ports import Rooms, SessionLog, Unavailable

_STOPS: Final = 3
_STOP_PAUSE_S: Final = 1.0

log = logs.get_logger(__name__)


class Endings:
    """The actions of the end; this leader or another may repeat each."""

    def __init__(
        self,
        session_log: SessionLog,
        rooms: Rooms,
        agents: Agents,
        timekeeper: Timekeeper,
        beginnings: Beginnings,
        learn: Callable[[str, Fact], None],
    ) -> None:
        self._log = session_log
        self._beginnings = beginnings
        self._rooms = rooms
        self._agents = agents
        self._time = timekeeper
        self._learn = learn

    async def stop_agent(self, session_id: str, action: StopAgent) -> None:
        """Stop the epoch's agent; the node's reply, or its timeout, becomes a fact."""
        answer = await self._agents.end(session_id, action.epoch, action.node_id, action.verdict.reason, say=action.say)
        if answer.served_ms is None:
            log.warning("job.end_unanswered", session_id=session_id, node_id=action.node_id, epoch=action.epoch)
        self._learn(session_id, answer)

    async def stop_job(self, session_id: str, epoch: int, node_id: str, reason: str) -> None:
        """Tell a node to stop an epoch, up to three times; the reconciler repeats it later."""
        for n in range(1, _STOPS + 1):
            if await self._agents.stop_job(session_id, epoch, node_id, reason):
                return
            await asyncio.sleep(n * _STOP_PAUSE_S)
        log.warning("job.not_stopped", session_id=session_id, node_id=node_id, epoch=epoch)

    async def stop_if_ended(self, session_id: str, epoch: int, node_id: str) -> None:
        """Stop a job that was assigned to a session after its end."""
        history = await self._log.history(session_id)
        if any(isinstance(record.event, SessionEnded) for record in history):
            log.warning("job.assigned_after_end", session_id=session_id, node_id=node_id, epoch=epoch)
            await self.stop_job(session_id, epoch, node_id, STALE)

    async def measure(self, session_id: str) -> Metered:
        """Measure the session's time by its log."""
        return meter(_measured(await self._log.history(session_id)))

    async def end(
        self, session: Session, facts: Facts, verdict: Verdict, considered: tuple[Considered, ...] = ()
    ) -> Recorded:
        """Write the one `ended`; returns the log's, which another leader may have written.

        Args:
            considered: The nodes that could not take a rejected start.
        """
        session_id, epoch = session.session_id, session.epoch
        billable_ms = 0
        if epoch or self._beginnings.in_doubt:
            billable_ms = meter(_measured(await self._whole_log(session, facts, verdict))).billable_ms
        ended = SessionEnded(
            session_id=session_id,
            time=self._time.datetime(),
            outcome=verdict.outcome,
            reason=verdict.reason,
            epoch=epoch,
            billable_ms=billable_ms,
            considered=considered,
        )
        record = await self._log.append(ended, expect_last=0)
        log.info(
            "session.ended",
            session_id=session_id,
            outcome=verdict.outcome,
            reason=verdict.reason,
            billable_ms=billable_ms,
            nodes=[attempt.node_id for attempt in session.attempts.values()],
        )
        return record

    async def _whole_log(self, session: Session, facts: Facts, verdict: Verdict) -> Sequence[Recorded]:
        """The session's records and the node's reply; what the log lost of them is written again first.

        Billing settles by the log alone: without `started` and `assigned` it would bill nothing.
        """
        history = await self._log.history(session.session_id)
        answer = facts.end_answer
        if answer is None or answer.served_ms is None:
            return await self._beginnings.write_again(session, history, "end")
        # The reply may come before `agent_stopped`, or instead of it.
        event = AgentStopped(
            session_id=session.session_id,
            time=self._time.datetime(),
            epoch=answer.epoch,
            cause=verdict.reason,
            served_ms=answer.served_ms,
            fault_ms=answer.fault_ms,
        )
        reply = Recorded(event, self._time.bus_ms(), BEHIND_ALL)
        return [*await self._beginnings.write_again(fold(session, reply), history, "end"), reply]

    async def delete_room(self, session_id: str) -> None:
        """Delete the room; the reconciler retries after a failure."""
        try:
            await self._rooms.delete(session_id)
        except Unavailable as error:
            log.warning("room.not_deleted", session_id=session_id, reason=str(error))


def _measured(history: Sequence[Recorded]) -> list[LogRecord]:
    return [LogRecord(record.event, record.stored_ms) for record in history]
