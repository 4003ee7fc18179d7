"""Which nodes are lost, and which agents a live node no longer lists."""

from contracts.registry import NodeState
from scheduler.domain.facts import JobListed, JobUnlisted
from scheduler.domain.fleet import Fleet
from scheduler.domain.roster import Roster


class NodeHealth:
    """Compares what nodes report with the jobs placed on them.

    Attributes:
        judge_from_ms: No node counts as lost before this time.
    """

    def __init__(self, roster: Roster, fleet: Fleet, judge_from_ms: int) -> None:
        self.judge_from_ms = judge_from_ms
        self._roster = roster
        self._fleet = fleet
        self._lost: set[str] = set()

    def changed(self, node_id: str, state: NodeState | None, now_ms: int) -> list[str]:
        """Take in a node's report, or (None) that its key is gone; returns the sessions that the node misses."""
        if state is None:
            self._fleet.lose(node_id)
            return []
        self._lost.discard(node_id)
        self._fleet.report(state, now_ms)
        return self._compare(state, now_ms)

    def missing(self) -> list[str]:
        """The nodes with jobs and without a key that are not lost yet."""
        return [node_id for node_id in self._fleet.missing() if node_id not in self._lost]

    def lose(self, node_id: str) -> list[str]:
        """Count a missing node as lost until it reports; returns the sessions whose agent was on it."""
        self._lost.add(node_id)
        return list(self._fleet.placed_on(node_id))

    def is_lost(self, node_id: str, now_ms: int) -> bool:
        """Whether the node's agents need successors."""
        return now_ms >= self.judge_from_ms and node_id in self._lost

    def outage_ended(self, judge_from_ms: int) -> None:
        """Judge no node before this time: NATS was unreachable.

        Until then no node counts as lost, and a session that decides meanwhile sets no timer for its node. So the lost
        nodes become missing ones: they are judged again at that time, which wakes their sessions.
        """
        self.judge_from_ms = judge_from_ms
        self._lost.clear()

    def _compare(self, state: NodeState, now_ms: int) -> list[str]:
        listed = {(job.session_id, job.epoch) for job in state.jobs}
        missing: list[str] = []
        for session_id in self._fleet.placed_on(state.node_id):
            session, facts = self._roster.session(session_id), self._roster.facts(session_id)
            if session is None or facts is None or session.epoch not in session.ready_ms:
                continue
            if (session_id, session.epoch) in listed:
                self._roster.learn(session_id, JobListed())
            elif facts.unlisted is None or facts.unlisted.epoch != session.epoch:
                # Not before a node may be judged: the first report that a new leader reads may be old.
                self._roster.learn(session_id, JobUnlisted(session.epoch, max(now_ms, self.judge_from_ms)))
                missing.append(session_id)
        return missing
