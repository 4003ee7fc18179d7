"""The sessions that the leader follows: each one's log, folded, and its facts."""

from collections.abc import Iterator, Mapping
from typing import Final

from contracts.events import EndRequested, Event, SessionRequested
from scheduler.domain.facts import Fact, Facts, learn
from scheduler.domain.session import REQUESTED, Recorded, Session, Unreadable, before_a_new_log, fold

_EARLY_ENDS: Final = 1024  # the newest ones; most are of sessions that have ended and are not followed


class Roster:
    """Sessions by id, from their `requested` or their slot until `remove`.

    Attributes:
        since_ms: When this leader began, in the log's time.
        requested_seq: Sequence of the last `requested` that was taken in; 0 again when the log counts from 1 again.
    """

    def __init__(self, since_ms: int) -> None:
        self.since_ms = since_ms
        self.requested_seq = 0
        self._sessions: dict[str, Session] = {}
        self._facts: dict[str, Facts] = {}
        self._traces: dict[str, Mapping[str, str]] = {}
        self._early_ends: dict[str, Recorded] = {}

    def __contains__(self, session_id: str) -> bool:
        return session_id in self._sessions

    def ids(self) -> list[str]:
        """All followed sessions."""
        return list(self._sessions)

    def open_sessions(self) -> Iterator[Session]:
        """The followed sessions without an end."""
        return (s for s in list(self._sessions.values()) if not s.has_ended)

    def session(self, session_id: str) -> Session | None:
        """The session by its log; None if it is not followed."""
        return self._sessions.get(session_id)

    def facts(self, session_id: str) -> Facts | None:
        """The session's facts; None if it is not followed."""
        return self._facts.get(session_id)

    def trace(self, session_id: str) -> Mapping[str, str]:
        """The trace context of the start."""
        return self._traces.get(session_id, {})

    def add(self, session_id: str) -> Session:
        """Follow a session."""
        session = self._sessions.setdefault(session_id, Session(session_id))
        self._facts.setdefault(session_id, Facts(since_ms=self.since_ms))
        return session

    def begin_again(self, session: Session) -> Session:
        """Follow a session by a log that begins again, with all facts; returns the session before."""
        before = self.add(session.session_id)
        self._sessions[session.session_id] = before_a_new_log(session)
        return before

    def remove(self, session_id: str) -> Session | None:
        """Stop following a session; returns its last state."""
        self._facts.pop(session_id, None)
        self._traces.pop(session_id, None)
        return self._sessions.pop(session_id, None)

    def learn(self, session_id: str, fact: Fact) -> bool:
        """Fold a fact in; True if it is new. A session that is not followed learns nothing."""
        known = self._facts.get(session_id)
        if known is None:
            return False
        facts = learn(known, fact)
        if facts is known or facts == known:
            return False
        self._facts[session_id] = facts
        return True

    def record(self, record: Recorded) -> tuple[Session, Session] | None:
        """Fold in one record, stamped in the log's time; returns the session before and after, None if unchanged.

        Records of a session that is not followed are dropped, except its `requested`, and an end that is requested
        before the start: that waits for the start.
        """
        session_id, begins = record.event.session_id, _begins(record.event)
        before = self._sessions.get(session_id)
        if before is None:
            if not begins:
                self._keep_early_end(record)
                return None
            before = self.add(session_id)
            if (early := self._early_ends.pop(session_id, None)) is not None:
                before = fold(before, early)
        if isinstance(record.event, SessionRequested):
            self._traces[session_id] = record.trace
        if begins:
            self.requested_seq = max(self.requested_seq, record.seq)
        session = fold(before, record)
        if session == before:
            return None
        self._sessions[session_id] = session
        return before, session

    def _keep_early_end(self, record: Recorded) -> None:
        if isinstance(record.event, EndRequested):
            self._early_ends[record.event.session_id] = record
            if len(self._early_ends) > _EARLY_ENDS:
                del self._early_ends[next(iter(self._early_ends))]


def _begins(event: Event) -> bool:
    return isinstance(event, SessionRequested) or (isinstance(event, Unreadable) and event.kind == REQUESTED)
