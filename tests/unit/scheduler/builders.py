"""Builders that show only what matters to a test."""

from datetime import UTC, datetime

from contracts.events import (
    AgentReady,
    AgentStopped,
    EndRequested,
    Event,
    JobAssigned,
    Outcome,
    ServedTick,
    SessionEnded,
    SessionQueued,
    SessionRequested,
    SessionStarted,
)
from contracts.registry import NodeJob, NodeState
from scheduler.domain.session import Recorded, Session, fold

T0 = 1_700_000_000_000
SID = "session_1_a"


def at(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)


def requested(
    sid: str = SID, *, user: str = "ann", region: str | None = None, limit: int | None = None
) -> SessionRequested:
    return SessionRequested(
        session_id=sid,
        time=at(T0),
        user_name=user,
        user_id=user,
        voice_id="Ashley",
        opening_line="Hello!",
        system_prompt="Be nice.",
        metadata={"region": region} if region else {},
        credit_limit_minutes=limit,
    )


def queued(sid: str = SID) -> SessionQueued:
    return SessionQueued(session_id=sid, time=at(T0), position=1, deadline_at=at(T0 + 30_000))


def assigned(epoch: int = 1, node: str = "n1", sid: str = SID, granted: int | None = None) -> JobAssigned:
    return JobAssigned(
        session_id=sid, time=at(T0), epoch=epoch, node_id=node, served_ms_before=0, granted_minutes=granted
    )


def ready(epoch: int = 1, node: str = "n1", sid: str = SID) -> AgentReady:
    return AgentReady(session_id=sid, time=at(T0), epoch=epoch, node_id=node, pid=7, log_file="x.log")


def started(epoch: int = 1, sid: str = SID) -> SessionStarted:
    return SessionStarted(session_id=sid, time=at(T0), epoch=epoch, at=at(T0))


def tick(served_ms: int, epoch: int = 1, fault_ms: int = 0, sid: str = SID) -> ServedTick:
    return ServedTick(session_id=sid, time=at(T0), epoch=epoch, served_ms=served_ms, fault_ms=fault_ms)


def stopped(epoch: int = 1, cause: str = "crashed", served_ms: int = 0, sid: str = SID) -> AgentStopped:
    return AgentStopped(session_id=sid, time=at(T0), epoch=epoch, cause=cause, served_ms=served_ms)


def end_requested(reason: str = "rest", sid: str = SID) -> EndRequested:
    return EndRequested(session_id=sid, time=at(T0), by="gateway", reason=reason)


def ended(sid: str = SID, outcome: Outcome = Outcome.COMPLETED, epoch: int = 1) -> SessionEnded:
    return SessionEnded(session_id=sid, time=at(T0), outcome=outcome, reason="rest", epoch=epoch, billable_ms=0)


def log(*events: tuple[int, Event] | Event) -> list[Recorded]:
    """Records in order; a tuple gives the ms after T0, else they come 10 ms apart."""
    records: list[Recorded] = []
    for n, entry in enumerate(events, start=1):
        ms, event = entry if isinstance(entry, tuple) else (10 * n, entry)
        records.append(Recorded(event, T0 + ms, n))
    return records


def session(*events: tuple[int, Event] | Event) -> Session:
    state = Session(SID)
    for record in log(*events):
        state = fold(state, record)
    return state


def node(
    node_id: str = "n1",
    *,
    slots: int = 4,
    warm: int = 3,
    busy: int = 0,
    load: float = 0.1,
    region: str | None = None,
    draining: bool = False,
    jobs: tuple[NodeJob, ...] = (),
    rooms: tuple[str, ...] = (),
) -> NodeState:
    return NodeState(
        node_id=node_id,
        region=region,
        slots=slots,
        warm=warm,
        busy=busy,
        draining=draining,
        load=load,
        pid=1,
        processes=1,
        started_at=at(T0),
        jobs=jobs,
        rooms=rooms,
    )
