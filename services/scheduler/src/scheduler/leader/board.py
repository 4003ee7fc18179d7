"""What the leader has in its head: every open session, who runs where, who waits."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from contracts.end_reasons import EndReason
from contracts.events import AgentReady, EndRequested, Event, SessionRequested
from contracts.registry import NodeState

from scheduler.domain.facts import Facts
from scheduler.domain.fairness import FairQueue, Waiting
from scheduler.domain.limits import Limits
from scheduler.domain.placement import Fleet, NoPlace
from scheduler.domain.session import REQUESTED, Recorded, Session, Unreadable, fold
from scheduler.domain.slots import SlotTable

_EARLY_ENDS: Final = 1024  # the newest; most are of sessions that ended and were forgotten
_CONTESTED_MS: Final = 15_000  # after which the reconciler has read the bucket once more


@dataclass(frozen=True, slots=True)
class Reservation:
    """A slot and a node set aside for a session, not yet written anywhere."""

    slot: int
    node_id: str


class Board:
    """The open sessions with what is known about each; no I/O, so each method is one uninterrupted step.

    Attributes:
        requested_seq: Sequence of the last `requested` that was taken in.
    """

    def __init__(
        self, limits: Limits, since_ms: int, *, stored_ms: Callable[[Recorded], int] = lambda record: record.stored_ms
    ) -> None:
        """Begin without any session.

        Args:
            since_ms: Now, in the log's time.
            stored_ms: When a record was stored, in the log's time: its stamp without the steps of the bus' clock.
        """
        self.limits = limits
        self._stored_ms = stored_ms
        self.since_ms = since_ms
        self.judge_nodes_from_ms = since_ms + limits.node_lease_ms
        self._lost_nodes: set[str] = set()
        self.fleet = Fleet(limits.max_load, limits.attempt_ms)
        self.blocked: str | None = None
        self.requested_seq = 0
        self._sessions: dict[str, Session] = {}
        self._facts: dict[str, Facts] = {}
        self._traces: dict[str, Mapping[str, str]] = {}
        self._early_ends: dict[str, Recorded] = {}
        self._slots = SlotTable(limits.max_bots)
        self._queue = FairQueue()
        self._reserved: dict[str, Reservation] = {}

    def __contains__(self, session_id: str) -> bool:
        return session_id in self._sessions

    def ids(self) -> list[str]:
        """All sessions that are not forgotten yet."""
        return list(self._sessions)

    def open_sessions(self) -> Iterator[Session]:
        """The sessions without an end."""
        return (s for s in list(self._sessions.values()) if not s.has_ended)

    def session(self, session_id: str) -> Session | None:
        """The session as its log tells it."""
        return self._sessions.get(session_id)

    def trace(self, session_id: str) -> Mapping[str, str]:
        """The trace context of the start."""
        return self._traces.get(session_id, {})

    def record(self, record: Recorded) -> str | None:
        """Take in one record; returns the session it changes.

        A session begins with its `requested`, or when it is found in a slot (`add`); what comes after it was
        forgotten changes nothing. An end that is asked for before the start waits for it.
        """
        session_id = record.event.session_id
        record = self.placed(record)
        before = self._sessions.get(session_id)
        if before is None:
            if not _begins(record.event):
                self._keep_early_end(record)
                return None
            before = self.add(session_id)
            if (early := self._early_ends.pop(session_id, None)) is not None:
                before = fold(before, early)
        if isinstance(record.event, SessionRequested):
            self._traces[session_id] = record.trace
        if _begins(record.event):
            self.requested_seq = max(self.requested_seq, record.seq)
        session = fold(before, record)
        if session == before:
            return None
        self._sessions[session_id] = session
        if _user_of(session) != _user_of(before):
            slots = self._slots.held_by(session_id)
            self._count_running(before, -slots)
            self._count_running(session, slots)
        if isinstance(record.event, AgentReady):
            self.fleet.proved(record.event.node_id, record.stored_ms)
        self._locate(session)
        return session_id

    def _keep_early_end(self, record: Recorded) -> None:
        if isinstance(record.event, EndRequested):
            self._early_ends[record.event.session_id] = record
            if len(self._early_ends) > _EARLY_ENDS:
                del self._early_ends[next(iter(self._early_ends))]

    def placed(self, record: Recorded) -> Recorded:
        """The record with its time in the log's time."""
        return replace(record, stored_ms=self._stored_ms(record))

    def add(self, session_id: str) -> Session:
        """Begin to follow a session."""
        session = self._sessions.setdefault(session_id, Session(session_id))
        self._facts.setdefault(session_id, Facts(since_ms=self.since_ms))
        return session

    def forget(self, session_id: str) -> None:
        """The session is over and cleared up."""
        self._stop_waiting(session_id)
        session = self._sessions.pop(session_id, None)
        if session is not None:
            self._count_running(session, -self._slots.held_by(session_id))
        self._facts.pop(session_id, None)
        self._traces.pop(session_id, None)
        self.fleet.release(session_id)

    def facts(self, session_id: str, now_ms: int) -> Facts:
        """What is known beside the log now."""
        session, facts = self._sessions[session_id], self._facts[session_id]
        if session_id in self._queue and facts.blocked != self.blocked:
            facts = replace(facts, blocked=self.blocked)
        current = session.current
        lost = current is not None and now_ms >= self.judge_nodes_from_ms and current.node_id in self._lost_nodes
        if lost != facts.node_lost:
            facts = replace(facts, node_lost=lost, node_lost_ms=now_ms if lost else None)
        self._facts[session_id] = facts
        return facts

    def learn(self, session_id: str, **known: Any) -> None:
        """Note facts about a session; one that is forgotten takes none."""
        if session_id in self._facts:
            self._facts[session_id] = replace(self._facts[session_id], **known)

    # --- nodes

    def node_changed(self, node_id: str, state: NodeState | None, now_ms: int) -> list[str]:
        """A node reported itself, or its key is gone; returns the sessions that this may concern."""
        if state is not None:
            self._lost_nodes.discard(node_id)
            self.fleet.report(state, now_ms)
            return self._compare(state, now_ms)
        self.fleet.lose(node_id)
        return []

    def missing_nodes(self) -> list[str]:
        """The nodes that have jobs and no key, and are not lost yet."""
        return [node_id for node_id in self.fleet.missing() if node_id not in self._lost_nodes]

    def lose_node(self, node_id: str) -> list[str]:
        """A missing node is lost until it reports itself; returns the sessions whose agent was on it."""
        self._lost_nodes.add(node_id)
        return list(self.fleet.placed_on(node_id))

    def outage_over(self, judge_from_ms: int) -> None:
        """NATS was away: no node is judged before this time.

        Those that were lost before are looked at again then; otherwise a session that finds its node not lost
        meanwhile would sleep until its end.
        """
        self.judge_nodes_from_ms = judge_from_ms
        self._lost_nodes.clear()

    def _compare(self, state: NodeState, now_ms: int) -> list[str]:
        """Note which agents the node should have and does not list, and which it lists again; returns the former."""
        listed = {(job.session_id, job.epoch) for job in state.jobs}
        missing: list[str] = []
        for session_id in self.fleet.placed_on(state.node_id):
            session = self._sessions.get(session_id)
            if session is None or session.epoch not in session.ready_ms:
                continue
            if (session_id, session.epoch) in listed:
                self.learn(session_id, unlisted_epoch=0)
            elif self._facts[session_id].unlisted_epoch != session.epoch:
                # Not before a node may be judged: what a new leader reads first may be old.
                since_ms = max(now_ms, self.judge_nodes_from_ms)
                self.learn(session_id, unlisted_epoch=session.epoch, unlisted_ms=since_ms)
                missing.append(session_id)
        return missing

    # --- slots

    def mark(self) -> int:
        """To be taken before the bucket of slots is read: what changes here from now on is newer than that reading."""
        return self._slots.mark()

    def holds(self, slots: Mapping[int, str], mark: int | None = None) -> None:
        """Take in which slots are held, key -> session, as the bucket was read.

        What was reserved or taken stays although the bucket does not hold it (yet); a slot that the bucket gives to
        another session is lost, unless it changed hands here since the mark.
        """
        for key in {*self._slots, *slots}:
            if mark is not None and self._slots.has_changed(key, mark):
                continue
            known, read = self._slots.owner(key), slots.get(key)
            if read is None:
                if known is not None and not self._owns(known, key):
                    self._drop(key)
                continue
            if known != read:
                self._lose_slot(key, known)
                self._hold(key, read)
            facts = self._facts.get(read)
            if facts is not None and facts.slot is None:
                self._facts[read] = replace(facts, slot=key)

    def took(self, key: int, session_id: str) -> None:
        """The session owns this slot now."""
        self._hold(key, session_id)
        self.learn(session_id, slot=key)

    def freed(self, key: int, session_id: str) -> None:
        """The session owns this slot no more."""
        if self._slots.owner(key) == session_id:
            self._drop(key)
        self._lose_slot(key, session_id)

    def contested(self, key: int, now_ms: int) -> None:
        """Another's write stands in this slot: nobody gets it before it could be read."""
        self._slots.contest(key, now_ms + _CONTESTED_MS)

    @property
    def slots_held(self) -> int:
        """Slots in use."""
        return len(self._slots)

    def _owns(self, session_id: str, key: int) -> bool:
        reserved, facts = self._reserved.get(session_id), self._facts.get(session_id)
        return (reserved is not None and reserved.slot == key) or (facts is not None and facts.slot == key)

    def _lose_slot(self, key: int, session_id: str | None) -> None:
        facts = self._facts.get(session_id) if session_id is not None else None
        if session_id is not None and facts is not None and facts.slot == key:
            self._facts[session_id] = replace(facts, slot=None)

    def _hold(self, key: int, session_id: str) -> None:
        if self._slots.owner(key) != session_id:
            self._drop(key)
            self._slots.hold(key, session_id)
            self._count_running(self._sessions.get(session_id), 1)

    def _drop(self, key: int) -> None:
        session_id = self._slots.owner(key)
        if session_id is not None:
            self._slots.drop(key)
            self._count_running(self._sessions.get(session_id), -1)

    def _count_running(self, session: Session | None, more: int) -> None:
        user_id = _user_of(session)
        if user_id is not None:
            self._queue.runs(user_id, more)

    # --- the queue

    @property
    def waiting(self) -> int:
        """Sessions in the queue."""
        return len(self._queue)

    def reservation(self, session_id: str) -> Reservation | None:
        """What was set aside for this session."""
        return self._reserved.get(session_id)

    def release(self, session_id: str) -> None:
        """Drop what was set aside for this session."""
        if session_id in self._reserved:
            self._stop_waiting(session_id)
            self.fleet.release(session_id)
            if session := self._sessions.get(session_id):
                self._locate(session)

    def began(self, session_id: str) -> None:
        """The reservation is written in the log."""
        self._reserved.pop(session_id, None)

    def wait(self, session_id: str) -> bool:
        """Put a session into the queue; False: it is full.

        A start that waited before or holds a slot was accepted: it comes back whatever came into the queue since.
        """
        if session_id in self._queue:
            return True
        session, facts = self._sessions[session_id], self._facts[session_id]
        holds_slot = facts.slot is not None
        is_new = not holds_slot and not session.queued
        if session.requested is None or (is_new and len(self._queue) >= self.limits.max_queue):
            return False
        user_id = session.requested.user_id
        self._queue.add(Waiting(session_id, user_id, session.requested_seq, holds_slot=holds_slot))
        return True

    def position(self, session_id: str) -> int:
        """Its place in the queue, from 1."""
        return self._queue.position(session_id)

    def may_admit(self, now_ms: int) -> bool:
        """Whether a look at the queue may change anything: somebody waits, and a slot and a node are free."""
        return (
            len(self._queue) > 0
            and (self._queue.has_holders or self._slots.lowest_free(now_ms) is not None)
            and self.fleet.can_take_one(now_ms)
        )

    def admit(self, now_ms: int) -> list[str]:
        """Set a slot and a node aside for each session that can begin now, in fair order; returns those.

        `blocked` says afterwards why the first that could not begin has to wait.
        """
        admitted: list[str] = []
        self.blocked = None
        while (waiting := self._queue.first()) is not None:
            session_id = waiting.session_id
            facts = self._facts[session_id]
            key = facts.slot if facts.slot is not None else self._slots.lowest_free(now_ms)
            if key is None:
                self.blocked = EndReason.MAX_BOTS
                break
            region = region_of(self._sessions[session_id])
            try:
                node = self.fleet.choose(session_id=session_id, region=region, now_ms=now_ms)
            except NoPlace as none:
                self.blocked = none.reason
                break
            self._queue.remove(session_id)
            self._hold(key, session_id)
            self._reserved[session_id] = Reservation(key, node.node_id)
            self.fleet.place(session_id, node.node_id)
            admitted.append(session_id)
        return admitted

    def _stop_waiting(self, session_id: str) -> None:
        self._queue.remove(session_id)
        reserved = self._reserved.pop(session_id, None)
        facts = self._facts.get(session_id)
        if reserved is None or (facts is not None and facts.slot == reserved.slot):
            return
        if self._slots.owner(reserved.slot) == session_id:
            self._drop(reserved.slot)

    def _locate(self, session: Session) -> None:
        """Keep the fleet's count and the queue in step with the log."""
        current = session.current
        if session.has_ended or session.end_asked is not None:
            self._stop_waiting(session.session_id)
        if current is not None and not session.has_ended and current.epoch not in session.stops:
            self._queue.remove(session.session_id)
            self.fleet.place(session.session_id, current.node_id)
        elif session.session_id not in self._reserved:
            self.fleet.release(session.session_id)


def _begins(event: Event) -> bool:
    return isinstance(event, SessionRequested) or (isinstance(event, Unreadable) and event.kind == REQUESTED)


def _user_of(session: Session | None) -> str | None:
    return None if session is None or session.requested is None else session.requested.user_id


def region_of(session: Session) -> str | None:
    """Where the caller wants the session to run, from the start's metadata."""
    return session.requested.metadata.get("region") if session.requested else None
