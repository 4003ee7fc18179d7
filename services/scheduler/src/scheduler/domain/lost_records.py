"""The records that a log without a session's beginning must get back, so that the session ends with its bill."""

from collections.abc import Callable, Sequence
from datetime import datetime
from itertools import pairwise

from contracts.events import AgentStopped, Event, JobAssigned, ServedTick, SessionStarted, TimeLost
from contracts.metering import LogRecord, meter
from scheduler.domain.session import Attempt, Recorded, Session
from scheduler.domain.standing import has_beginning


def lost_records(
    session: Session, history: Sequence[Recorded], now_ms: int, date: Callable[[int], datetime]
) -> tuple[Event, ...]:
    """The events to write again, in this order; none if the log has the session's beginning.

    `assigned` comes before `requested`: a session with only its `requested` would be placed again. Only the node knows
    `agent_ready`, and no bill needs it. An earlier epoch is billed for the time that the leader measured in the former
    log when it assigned the successor. Time that only the successor's node reports becomes a `time_lost`.

    Args:
        session: All that is known of it.
        history: All records of its log.
        now_ms: In the log's time.
        date: Turns a time of the log into a date.
    """
    if session.requested is None or has_beginning(history):
        return ()
    session_id, current, time = session.session_id, session.current, date(now_ms)
    kinds = {type(record.event) for record in history}
    found: list[Event] = _earlier(session, history, now_ms, date)
    if current is not None and session.epoch > max(_assigned_epochs(history), default=0):
        found.append(_assigned(session_id, current, now_ms, time))
    if session.started_ms is not None and SessionStarted not in kinds:
        at, epoch = date(session.started_ms), max(1, session.epoch)
        found.append(SessionStarted(session_id=session_id, time=time, epoch=epoch, at=at))
    stopped = {record.event.epoch for record in history if isinstance(record.event, AgentStopped)}
    if (stop := session.stops.get(session.epoch)) is not None and session.epoch not in stopped:
        found.append(
            AgentStopped(
                session_id=session_id,
                time=time,
                epoch=session.epoch,
                cause=stop.cause,
                served_ms=stop.served_ms,
                fault_ms=stop.fault_ms,
            )
        )
    if (
        current is not None
        and (lost_ms := current.billable_ms_before - _billable_ms(session, history, found, now_ms)) > 0
    ):
        found.append(TimeLost(session_id=session_id, time=time, epoch=current.epoch, billable_ms=lost_ms))
    return (*found, session.requested)


def _earlier(
    session: Session, history: Sequence[Recorded], now_ms: int, date: Callable[[int], datetime]
) -> list[Event]:
    """For each earlier epoch that served: its `assigned`, and one tick with the time that was measured.

    An epoch older than the log's last `assigned` is not restored, since that `assigned` must stay the last one. A
    `tick` that an interrupted attempt wrote is not repeated.
    """
    there, ids = _assigned_epochs(history), {record.event.id for record in history}
    found: list[Event] = []
    for epoch, successor in pairwise(sorted(session.attempts)):
        attempt, time = session.attempts[epoch], date(now_ms)
        billable_ms = session.attempts[successor].billable_ms_before - attempt.billable_ms_before
        if billable_ms <= 0 or (epoch not in there and epoch < max(there, default=0)):
            continue
        if epoch not in there:
            found.append(_assigned(session.session_id, attempt, now_ms, time))
        tick = ServedTick(session_id=session.session_id, time=time, epoch=epoch, served_ms=billable_ms)
        if tick.id not in ids:
            found.append(tick)
    return found


def _billable_ms(session: Session, history: Sequence[Recorded], found: Sequence[Event], now_ms: int) -> int:
    """What these records prove of the earlier epochs."""
    known = [LogRecord(record.event, record.stored_ms) for record in history]
    metered = meter([*known, *(LogRecord(event, now_ms) for event in found)])
    return sum(epoch.billable_ms for epoch in metered.epochs if epoch.epoch < session.epoch)


def _assigned_epochs(history: Sequence[Recorded]) -> set[int]:
    return {record.event.epoch for record in history if isinstance(record.event, JobAssigned)}


def _assigned(session_id: str, attempt: Attempt, now_ms: int, time: datetime) -> JobAssigned:
    return JobAssigned(
        session_id=session_id,
        time=time,
        epoch=attempt.epoch,
        node_id=attempt.node_id,
        served_ms_before=attempt.served_ms_before,
        billable_ms_before=attempt.billable_ms_before,
        granted_minutes=attempt.granted_minutes,
        age_ms=max(0, now_ms - attempt.at_ms + attempt.age_ms),
    )
