"""Finds lost nodes: the key is gone, a second look does not find it, and not too many nodes are missing at once."""

import asyncio
from typing import Final

from chassis import logs
from contracts.registry import NodeState
from scheduler.domain.liveness import Judgement, judge
from scheduler.leader import figures
from scheduler.leader.conductor import Conductor
from scheduler.ports import Nodes, Unavailable

_LOOK_S: Final = 0.5  # between two looks at the missing nodes
_LOOKS_AT_ONCE: Final = 64

log = logs.get_logger(__name__)


class Liveness:
    """Keeps the fleet in step with the registry, and wakes the sessions of lost nodes."""

    def __init__(self, conductor: Conductor, nodes: Nodes) -> None:
        self._conductor = conductor
        self._board = conductor.board
        self._nodes = nodes
        self._known = Judgement({})
        self._wanted = asyncio.Event()
        self._keyless: set[str] = set()  # nodes that answer but have no key

    def changed(self, node_id: str, state: NodeState | None) -> None:
        """Take in a node's report, or (None) that its key is gone.

        A node without a key gets no new jobs; it keeps its present ones until it is lost.
        """
        now_ms = self._conductor.time.now_ms()
        if state is None:
            former = self._board.fleet.state(node_id)
            has_left = former is not None and former.draining and not former.jobs
            log.info("node.left" if has_left else "node.gone", node_id=node_id)
            if not has_left:
                self._known = self._known.ended(node_id, now_ms)
            self._wanted.set()
        else:
            self._known = self._known.back(node_id)
            self._keyless.discard(node_id)
        for session_id in self._board.nodes.changed(node_id, state, now_ms):
            self._conductor.wake(session_id)
        self._conductor.capacity_changed()

    async def run(self) -> None:
        """Look at nodes with jobs and without a key until cancelled, from one lease after the begin or an outage on."""
        while True:
            self._wanted.clear()
            try:
                await self._look()
            except Exception:
                log.exception("liveness.bug")
            try:
                async with asyncio.timeout(_LOOK_S):
                    await self._wanted.wait()
            except TimeoutError:
                continue

    async def _look(self) -> None:
        missing = self._board.nodes.missing() if self._may_judge else []
        figures.NODES_MISSING.set(len(missing))
        if not missing:
            return
        limit = asyncio.Semaphore(_LOOKS_AT_ONCE)

        async def is_gone(node_id: str) -> bool:
            async with limit:
                return await self._is_gone(node_id)

        found_gone = await asyncio.gather(*(is_gone(node_id) for node_id in missing))
        still_missing = set(self._board.nodes.missing())  # some have come back
        gone = [n for n, is_gone in zip(missing, found_gone, strict=True) if is_gone and n in still_missing]
        if gone and self._may_judge:
            self._judge(gone)

    @property
    def _may_judge(self) -> bool:
        return self._conductor.is_acting and self._conductor.time.now_ms() >= self._board.nodes.judge_from_ms

    def _judge(self, gone: list[str]) -> None:
        now_ms, before = self._conductor.time.now_ms(), self._known
        lost, self._known = judge(gone, len(self._board.fleet), before, now_ms, self._board.limits.node_lease_ms)
        if self._known.held_until_ms > before.held_until_ms:
            figures.NODE_BRAKES.inc()
            log.error(
                "nodes.too_many_gone",
                nodes=sorted(self._known.held),
                alive=len(self._board.fleet),
                wait_ms=self._known.held_until_ms - now_ms,
                fix="Look at NATS and at the network to the nodes.",
            )
        for node_id in sorted(lost):
            sessions = self._board.nodes.lose(node_id)
            figures.NODES_LOST.inc()
            log.warning("node.lost", node_id=node_id, sessions=len(sessions))
            for session_id in sessions:
                self._conductor.wake(session_id)

    async def _is_gone(self, node_id: str) -> bool:
        """The second look: read the key from its stream's leader, then probe the node itself."""
        try:
            state = await self._nodes.find(node_id)
            if state is not None:
                self.changed(node_id, state)
                result = "key"
            elif await self._nodes.answers(node_id):
                result = "answered"
                if node_id not in self._keyless:
                    self._keyless.add(node_id)
                    log.warning("node.without_key", node_id=node_id, effect="It keeps its calls and gets no new ones.")
            else:
                self._keyless.discard(node_id)
                result = "gone"
        except Unavailable as error:
            log.warning("node.not_looked_at", node_id=node_id, reason=str(error))
            result = "unknown"
        figures.NODE_LOOKS.labels(result).inc()
        return result == "gone"
