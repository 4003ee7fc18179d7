"""What stands in the world and should not, or should and does not: pure comparisons."""

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass

from contracts.ids import SESSION_ID_PATTERN
from contracts.registry import NodeState

from scheduler.domain.session import Session

ROOM_MARGIN_MS = 60_000
"""A room is made before its `requested`, so a young one without a session is no orphan yet."""

LOST_ROOM_MARGIN_MS = 2_000
"""A session this young may be seen before its room."""

STALE = "stale"
SUPERSEDED = "superseded"

_SESSION_ID = re.compile(SESSION_ID_PATTERN)


@dataclass(frozen=True, slots=True)
class StaleJob:
    """A node holds an epoch that counts no more.

    Attributes:
        reason: What the node is told. A superseded agent is killed: one that leaves in order would first resume its
            connection to LiveKit, and so put its successor out.
    """

    session_id: str
    epoch: int
    node_id: str
    reason: str = STALE


def suspect_rooms(rooms: Mapping[str, int], is_wanted: Callable[[str], bool], now_ms: int) -> list[str]:
    """The rooms of our form that nothing explains; the log must confirm it before one is deleted.

    Args:
        rooms: Name -> when LiveKit created it, Unix ms.
        is_wanted: Whether this session is known and has not ended, or its room was joined ahead.
    """
    return [
        name
        for name, created_ms in rooms.items()
        if _SESSION_ID.match(name) and not is_wanted(name) and now_ms - created_ms > ROOM_MARGIN_MS
    ]


def lost_rooms(sessions: Iterable[Session], rooms: Collection[str], now_ms: int) -> list[str]:
    """The open sessions whose room is gone."""
    return [
        s.session_id
        for s in sessions
        if not s.is_over
        and s.end_asked is None
        and s.requested is not None
        and now_ms - s.requested_ms > LOST_ROOM_MARGIN_MS
        and s.session_id not in rooms
    ]


def stale_jobs(
    nodes: Iterable[NodeState], sessions: Callable[[str], Session | None]
) -> tuple[list[StaleJob], list[StaleJob]]:
    """The jobs that nodes hold for an ended session or a superseded epoch, and those of sessions that are not known.

    A session that was found in a slot and whose log has no `requested` counts as not known.

    Of the latter the log must say whether they are over.
    """
    stale: list[StaleJob] = []
    unknown: list[StaleJob] = []
    for node in nodes:
        for held in node.jobs:
            session = sessions(held.session_id)
            if session is None or _has_lost_its_beginning(session):
                unknown.append(StaleJob(held.session_id, held.epoch, node.node_id))
            elif held.epoch < session.epoch:
                stale.append(StaleJob(held.session_id, held.epoch, node.node_id, SUPERSEDED))
            elif session.is_over:
                stale.append(StaleJob(held.session_id, held.epoch, node.node_id))
    return stale, unknown


def _has_lost_its_beginning(session: Session) -> bool:
    return session.requested is None and not session.unreadable and not session.is_over
