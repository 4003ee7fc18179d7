"""One session as a fold over its log; the result does not depend on the records' order, gaps or repetitions."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import ClassVar

from contracts.causes import Cause
from contracts.events import (
    AgentReady,
    AgentStopped,
    EndRequested,
    Event,
    JobAssigned,
    SessionEnded,
    SessionQueued,
    SessionRequested,
    SessionStarted,
)

REQUESTED, ASSIGNED, ENDED = SessionRequested.event, JobAssigned.event, SessionEnded.event

BEHIND_ALL = 2**63
"""Behind each sequence of a stream."""


class Unreadable(Event):
    """A decisive record that this version cannot parse.

    Attributes:
        kind: The event by its subject: requested, assigned or ended.
    """

    event: ClassVar[str] = "unreadable"

    kind: str


@dataclass(frozen=True, slots=True)
class Recorded:
    """One event with its position in the log.

    Attributes:
        stored_ms: JetStream's timestamp, Unix ms: the clock of every timer here.
        seq: Its stream sequence, which a compare-and-set expects.
        trace: Its W3C trace context, as message headers.
    """

    event: Event
    stored_ms: int
    seq: int
    trace: Mapping[str, str] = field(default_factory=dict[str, str], compare=False)


@dataclass(frozen=True, slots=True)
class Attempt:
    """One epoch of the job, from `assigned`.

    Attributes:
        age_ms: How long it had run when its `assigned` was stored; above 0 only for a restored session.
    """

    epoch: int
    node_id: str
    seq: int
    at_ms: int
    served_ms_before: int
    billable_ms_before: int
    granted_minutes: int | None = None
    age_ms: int = 0


@dataclass(frozen=True, slots=True)
class Stop:
    """A node's report that an epoch's worker has exited."""

    cause: str
    served_ms: int
    at_ms: int
    seq: int
    fault_ms: int = 0


@dataclass(frozen=True, slots=True)
class EndAsked:
    """A request to end the session."""

    by: str
    reason: str
    at_ms: int
    seq: int


@dataclass(frozen=True, slots=True)
class Session:
    """One session by its log. All times are JetStream's, Unix ms.

    Attributes:
        requested: The accepted start; None while only later records were read.
        attempts: Epoch -> the attempt, from `assigned`.
        ready_ms: Epoch -> when its agent was in the room.
        stops: Epoch -> its end, from `agent_stopped`.
        ended: The one terminal event.
        unreadable: The kinds of decisive records in its log that cannot be parsed.
    """

    session_id: str
    requested: SessionRequested | None = None
    requested_ms: int = 0
    requested_seq: int = 0
    queued: bool = False
    attempts: Mapping[int, Attempt] = field(default_factory=dict[int, Attempt])
    ready_ms: Mapping[int, int] = field(default_factory=dict[int, int])
    started_ms: int | None = None
    stops: Mapping[int, Stop] = field(default_factory=dict[int, Stop])
    end_asked: EndAsked | None = None
    ended: SessionEnded | None = None
    unreadable: frozenset[str] = frozenset()

    @property
    def has_ended(self) -> bool:
        """Whether the log holds its `ended`, readable or not."""
        return self.ended is not None or ENDED in self.unreadable

    @property
    def current(self) -> Attempt | None:
        """The attempt of the last `assigned`, the only epoch that counts."""
        return self.attempts[max(self.attempts)] if self.attempts else None

    @property
    def epoch(self) -> int:
        """The last epoch; 0 when the job was never assigned."""
        return max(self.attempts, default=0)

    @property
    def granted_minutes(self) -> int | None:
        """The session's billable minutes in total; None: unlimited."""
        granted = (a.granted_minutes for a in self.attempts.values() if a.granted_minutes is not None)
        asked = None if self.requested is None else self.requested.credit_limit_minutes
        return max(granted, default=asked)

    @property
    def first_ready_ms(self) -> int | None:
        """When the first agent was in the room."""
        return min(self.ready_ms.values(), default=None)

    @property
    def deaths(self) -> int:
        """Agents that were in the room and have a successor, without those that a drained node handed over."""
        return sum(1 for epoch in self.ready_ms if epoch < self.epoch and not self._handed_over(epoch))

    def _handed_over(self, epoch: int) -> bool:
        stop = self.stops.get(epoch)
        return stop is not None and stop.cause == Cause.DRAINED

    @property
    def attempts_in_a_row(self) -> int:
        """How many nodes were asked since an agent was last ready."""
        return self.epoch - max(self.ready_ms, default=0)

    @property
    def starting_since_ms(self) -> int | None:
        """When the current attempts began: at the first epoch after the last one whose agent was ready."""
        last_ready = max(self.ready_ms, default=0)
        return min((a.at_ms for epoch, a in self.attempts.items() if epoch > last_ready), default=None)


def fold(session: Session, record: Recorded) -> Session:
    """Add one record of the session's log.

    The earlier of two records of the same fact counts; an epoch's served time is the greatest that it
    reported. So any order and any repetition of the same records give the same session.
    """
    event, at, seq = record.event, record.stored_ms, record.seq
    match event:
        case SessionRequested():
            if session.requested is not None and session.requested_seq <= seq:
                return session
            return replace(session, requested=event, requested_ms=at, requested_seq=seq)
        case SessionQueued():
            return replace(session, queued=True)
        case JobAssigned():
            known = session.attempts.get(event.epoch)
            if known is not None and known.seq <= seq:
                return session
            before_ms, granted = event.served_ms_before, event.granted_minutes
            billable_ms = before_ms if event.billable_ms_before is None else event.billable_ms_before
            attempt = Attempt(event.epoch, event.node_id, seq, at, before_ms, billable_ms, granted, event.age_ms)
            return replace(session, attempts={**session.attempts, event.epoch: attempt})
        case AgentReady():
            first = min(at, session.ready_ms.get(event.epoch, at))
            return replace(session, ready_ms={**session.ready_ms, event.epoch: first})
        case SessionStarted():
            return replace(session, started_ms=at if session.started_ms is None else min(at, session.started_ms))
        case AgentStopped():
            stop = Stop(event.cause, event.served_ms, at, seq, event.fault_ms)
            stop = _earlier_stop(session.stops.get(event.epoch), stop)
            return replace(session, stops={**session.stops, event.epoch: stop})
        case EndRequested():
            if session.end_asked is not None and session.end_asked.seq <= seq:
                return session
            return replace(session, end_asked=EndAsked(event.by, event.reason, at, seq))
        case SessionEnded():
            return session if session.ended is not None else replace(session, ended=event)
        case Unreadable():
            return replace(session, unreadable=session.unreadable | {event.kind})
        case _:
            return session


def _earlier_stop(known: Stop | None, new: Stop) -> Stop:
    if known is None:
        return new
    first = min(known, new, key=lambda stop: stop.seq)
    return replace(first, served_ms=max(known.served_ms, new.served_ms), fault_ms=max(known.fault_ms, new.fault_ms))


def before_a_new_log(session: Session) -> Session:
    """The session, ready for the records of a log that begins again: they replace what is known.

    The session keeps what the new log lacks: earlier epochs, when the first agent was ready, a requested end.
    """
    asked = session.end_asked
    return replace(
        session,
        requested_seq=BEHIND_ALL,
        attempts={epoch: replace(attempt, seq=BEHIND_ALL) for epoch, attempt in session.attempts.items()},
        stops={epoch: replace(stop, seq=BEHIND_ALL) for epoch, stop in session.stops.items()},
        end_asked=None if asked is None else replace(asked, seq=BEHIND_ALL),
    )
