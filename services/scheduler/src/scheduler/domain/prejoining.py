"""Prejoined rooms: how many to add or retire, on which node, and which to delete."""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from contracts.deadlines import CLAIM_S
from contracts.registry import NodeState, PrejoinedRoom

CLAIM_MS = round(CLAIM_S * 1000)
"""Most time from the claim of a room's key to its session's `requested`."""

REFILL_MS = 1_000
"""Pause before a claimed room is replaced: the call that begins has the processors to itself."""

_LISTED_MS: Final = 5_000  # most time from a node's reply to the room's key, or from the key to the node's report
_FIRST_PAUSE_MS: Final = 1_000
_LONGEST_PAUSE_MS: Final = 30_000


@dataclass(frozen=True, slots=True)
class ListedRoom:
    """A prejoined room with the revision that the deletion of its key needs."""

    room: PrejoinedRoom
    revision: int


@dataclass(slots=True)
class _Joining:
    """A room that a node is joining; `until_ms` is when its key must be there, None before the node's reply."""

    node_id: str
    until_ms: int | None = None


@dataclass(frozen=True, slots=True)
class _Failed:
    failures: int  # in a row
    until_ms: int


class Prejoining:
    """The prejoined rooms of one leader.

    Attributes:
        ready: Session id -> its room, by the bucket.
    """

    def __init__(self, size: int, now_ms: int) -> None:
        """Begin without rooms.

        Args:
            size: How many rooms to keep ready.
            now_ms: On the log's clock.
        """
        self.ready: dict[str, ListedRoom] = {}
        self._size = size
        self._began_ms = now_ms
        self._joining: dict[str, _Joining] = {}
        self._gone: dict[str, int] = {}  # claimed, expired or failed rooms, and since when
        self._unlisted: dict[str, int] = {}  # rooms whose node does not list them, and since when
        self._refill_ms = 0
        self._failed: dict[str, _Failed] = {}

    def is_prejoined(self, name: str, now_ms: int) -> bool:
        """Whether this room waits for its session, or was claimed a moment ago.

        A new leader does not know which rooms were just claimed, so at first it takes every room for one.
        """
        is_new = self._size > 0 and now_ms - self._began_ms < CLAIM_MS
        return is_new or name in self.ready or name in self._joining or name in self._gone

    def changed(self, session_id: str, room: ListedRoom | None, now_ms: int) -> None:
        """Take in a room's key, or (None) that it is gone."""
        if room is not None:
            self.ready[session_id] = room
            self._joining.pop(session_id, None)
        elif self.ready.pop(session_id, None) is not None:
            self._gone[session_id] = now_ms
            self._refill_ms = max(self._refill_ms, now_ms + REFILL_MS)

    def begin(
        self,
        nodes: Sequence[NodeState],
        suspended: Collection[str],
        max_load: float,
        mint: Callable[[int], str],
        now_ms: int,
    ) -> list[tuple[str, str]]:
        """Choose the rooms to join now; returns (session id, node id) of each, which counts as being joined.

        Args:
            suspended: Nodes that get no start now.
            mint: Makes a session id of a time in Unix ms.
        """
        self._expire(now_ms)
        count = missing(self._size, ready=len(self.ready), joining=len(self._joining))
        if not count or now_ms < self._refill_ms:
            return []
        alive = {node.node_id for node in nodes}
        self._failed = {node_id: failed for node_id, failed in self._failed.items() if node_id in alive}
        unable = {*suspended, *(node_id for node_id, failed in self._failed.items() if now_ms < failed.until_ms)}
        begun: list[tuple[str, str]] = []
        for _ in range(count):
            busy = unable | {joining.node_id for joining in self._joining.values()}
            node = choose_node(nodes, busy, max_load=max_load)
            if node is None:
                break
            session_id = mint(now_ms)
            self._joining[session_id] = _Joining(node.node_id)
            begun.append((session_id, node.node_id))
        return begun

    def joined(self, session_id: str, node_id: str, now_ms: int) -> None:
        """Note that the node joined the room; its key follows."""
        self._failed.pop(node_id, None)
        if session_id in self._joining:
            self._joining[session_id].until_ms = now_ms + _LISTED_MS

    def failed(self, session_id: str, node_id: str, now_ms: int) -> int:
        """Note that the node did not join the room; returns for how long the node gets no room, ms."""
        known = self._failed.get(node_id)
        failures = 0 if known is None else known.failures
        pause_ms = min(_LONGEST_PAUSE_MS, _FIRST_PAUSE_MS * 2 ** min(failures, 10))
        self._failed[node_id] = _Failed(failures + 1, now_ms + pause_ms)
        self._joining.pop(session_id, None)
        self._gone[session_id] = now_ms  # the node may have joined all the same; then the room is deleted later
        return pause_ms

    def returned(self, nodes: Iterable[NodeState], now_ms: int) -> list[ListedRoom]:
        """Rooms whose node is there and has not listed them for 5 s: keys that NATS brought back after a SIGKILL."""
        listed = {node.node_id: frozenset(node.rooms) for node in nodes}
        unlisted = [
            session_id
            for session_id, found in self.ready.items()
            if found.room.node_id in listed and session_id not in listed[found.room.node_id]
        ]
        self._unlisted = {session_id: self._unlisted.get(session_id, now_ms) for session_id in unlisted}
        return [self.ready[s] for s, since_ms in self._unlisted.items() if now_ms - since_ms >= _LISTED_MS]

    def surplus(self) -> list[str]:
        """The sessions of the rooms above the size."""
        return [room.session_id for room in surplus(self._size, [listed.room for listed in self.ready.values()])]

    def unclaimed(self, is_started: Callable[[str], bool], now_ms: int) -> list[str]:
        """Rooms that are gone for so long that their session will not come; started ones are no longer tracked."""
        for session_id in [sid for sid in self._gone if sid in self.ready or is_started(sid)]:
            del self._gone[session_id]
        return [session_id for session_id, gone_ms in self._gone.items() if now_ms - gone_ms >= CLAIM_MS]

    def deleted(self, session_id: str) -> None:
        """Stop tracking a room that is gone."""
        self._gone.pop(session_id, None)

    def _expire(self, now_ms: int) -> None:
        for session_id, joining in list(self._joining.items()):
            if joining.until_ms is not None and now_ms >= joining.until_ms:
                del self._joining[session_id]
                self._gone[session_id] = now_ms


def missing(size: int, *, ready: int, joining: int) -> int:
    """How many rooms to join now; rooms being joined count, so that there are never more than `size`."""
    return max(0, size - ready - joining)


def surplus(size: int, ready: Sequence[PrejoinedRoom]) -> list[PrejoinedRoom]:
    """The rooms above `size` (a former leader's, or of a larger setting), those that expire first."""
    return sorted(ready, key=lambda room: room.expires_at)[: max(0, len(ready) - size)]


def choose_node(nodes: Iterable[NodeState], busy: Collection[str], *, max_load: float) -> NodeState | None:
    """Choose the node for one more room: a free slot, the fewest rooms, then a warm worker.

    Rooms are spread over the nodes, so that the loss of one node loses few rooms.

    Args:
        busy: Nodes that failed recently or are joining a room now; one at a time, since calls need the CPU.
        max_load: Share of CPU at which a node gets no room.

    Returns:
        None when no node has room.
    """
    able = [
        node
        for node in nodes
        if not node.draining
        and node.node_id not in busy
        and node.load < max_load
        and max(node.busy, len(node.jobs)) + len(node.rooms) < node.slots
    ]
    return min(able, key=lambda n: (len(n.rooms), n.warm == 0, n.busy / n.slots, n.node_id), default=None)
