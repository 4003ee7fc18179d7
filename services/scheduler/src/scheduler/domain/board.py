"""All that the leader has in memory: each record, fact and node report changes it in one uninterrupted step."""

from collections.abc import Callable
from dataclasses import replace

from contracts.events import AgentReady
from scheduler.domain.admission import Admission
from scheduler.domain.facts import Blocked, Facts, NodeLost
from scheduler.domain.fleet import Fleet
from scheduler.domain.limits import Limits
from scheduler.domain.node_health import NodeHealth
from scheduler.domain.roster import Roster
from scheduler.domain.session import Recorded, Session


class Board:
    """The sessions, the fleet, and the admission of one onto the other, kept in step."""

    def __init__(
        self, limits: Limits, since_ms: int, *, stored_ms: Callable[[Recorded], int] = lambda record: record.stored_ms
    ) -> None:
        """Begin without sessions and nodes.

        Args:
            since_ms: Now, in the log's time.
            stored_ms: When a record was stored, in the log's time: its stamp without the steps of the bus' clock.
        """
        self.limits = limits
        self.roster = Roster(since_ms)
        self.fleet = Fleet(limits.max_load, limits.attempt_ms)
        self.admission = Admission(self.roster, self.fleet, limits)
        self.slots = self.admission.slots
        self.nodes = NodeHealth(self.roster, self.fleet, since_ms + limits.node_lease_ms)
        self._stored_ms = stored_ms

    def record(self, record: Recorded) -> str | None:
        """Take in one record; returns the session that it changes."""
        record = self.in_log_time(record)
        change = self.roster.record(record)
        if change is None:
            return None
        before, session = change
        self.slots.user_changed(before, session)
        if isinstance(record.event, AgentReady):
            self.fleet.proved(record.event.node_id, record.stored_ms)
        self.admission.follow(session)
        return session.session_id

    def in_log_time(self, record: Recorded) -> Recorded:
        """The record, stamped in the log's time."""
        stored_ms = self._stored_ms(record)
        return record if stored_ms == record.stored_ms else replace(record, stored_ms=stored_ms)

    def begin_again(self, session: Session) -> None:
        """Follow a session whose log lost its beginning: the records of the new log come next."""
        before = self.roster.begin_again(session)
        self.slots.user_changed(before, session)
        self.admission.follow(session)

    def remove(self, session_id: str) -> None:
        """Stop following a session."""
        self.admission.leave(session_id)
        session = self.roster.remove(session_id)
        if session is not None:
            self.slots.removed(session)
        self.fleet.release(session_id)

    def facts(self, session_id: str, now_ms: int) -> Facts:
        """The facts of a followed session now, with what the queue and the fleet say about it."""
        session, facts = self.roster.session(session_id), self.roster.facts(session_id)
        assert session is not None
        assert facts is not None
        if session_id in self.admission and facts.blocked != self.admission.blocked:
            self.roster.learn(session_id, Blocked(self.admission.blocked))
        current = session.current
        is_lost = current is not None and self.nodes.is_lost(current.node_id, now_ms)
        if is_lost != (facts.node_lost_ms is not None):
            self.roster.learn(session_id, NodeLost(now_ms if is_lost else None))
        return self.roster.facts(session_id) or facts
