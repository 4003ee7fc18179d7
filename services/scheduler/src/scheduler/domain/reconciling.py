"""Compares rooms, slots and jobs with the log: what is orphaned, lost or stale. Pure."""

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass

from contracts.causes import Cause
from contracts.ids import SESSION_ID_PATTERN
from contracts.registry import NodeState

from scheduler.domain.session import Session

ROOM_MARGIN_MS = 60_000
"""A room is created before its `requested`, so only an older room without a session is an orphan."""

LOST_ROOM_MARGIN_MS = 2_000
"""A younger session may be seen before its room."""

STALE = "stale"

_SESSION_ID = re.compile(SESSION_ID_PATTERN)


@dataclass(frozen=True, slots=True)
class StaleJob:
    """A node runs an epoch that is superseded or whose session has ended.

    Attributes:
        reason: Sent to the node. A superseded agent is killed: an orderly stop would first resume its connection to
            LiveKit, which disconnects its successor.
    """

    session_id: str
    epoch: int
    node_id: str
    reason: str = STALE


def suspect_rooms(rooms: Mapping[str, int], is_wanted: Callable[[str], bool], now_ms: int) -> list[str]:
    """Rooms named like a session that no session explains; the log must confirm each before it is deleted.

    Args:
        rooms: Name -> creation time by LiveKit, Unix ms.
        is_wanted: Whether the session is open, or its room is prejoined.
    """
    return [
        name
        for name, created_ms in rooms.items()
        if _SESSION_ID.match(name) and not is_wanted(name) and now_ms - created_ms > ROOM_MARGIN_MS
    ]


def lost_rooms(sessions: Iterable[Session], rooms: Collection[str], now_ms: int) -> list[str]:
    """The open sessions without a room."""
    return [
        s.session_id
        for s in sessions
        if not s.has_ended
        and s.end_asked is None
        and s.requested is not None
        and now_ms - s.requested_ms > LOST_ROOM_MARGIN_MS
        and s.session_id not in rooms
    ]


def stale_jobs(
    nodes: Iterable[NodeState], sessions: Callable[[str], Session | None]
) -> tuple[list[StaleJob], list[StaleJob]]:
    """Jobs of ended sessions or superseded epochs, and jobs of unknown sessions, which the log must judge.

    A session that was found in a slot and whose log has no `requested` counts as unknown.
    """
    stale: list[StaleJob] = []
    unknown: list[StaleJob] = []
    for node in nodes:
        for held in node.jobs:
            session = sessions(held.session_id)
            if session is None or _has_lost_its_beginning(session):
                unknown.append(StaleJob(held.session_id, held.epoch, node.node_id))
            elif held.epoch < session.epoch:
                stale.append(StaleJob(held.session_id, held.epoch, node.node_id, Cause.SUPERSEDED))
            elif session.has_ended:
                stale.append(StaleJob(held.session_id, held.epoch, node.node_id))
    return stale, unknown


def _has_lost_its_beginning(session: Session) -> bool:
    return session.requested is None and not session.unreadable and not session.has_ended
