"""Compares rooms, slots and jobs with the log: what is orphaned, lost or stale. Pure."""

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from contracts.causes import Cause
from contracts.ids import SESSION_ID_PATTERN
from contracts.registry import NodeState
from scheduler.domain.session import Session

ROOM_MARGIN_MS = 60_000
"""A room is created before its `requested`, so only an older room without a session is an orphan."""

LOST_ROOM_MARGIN_MS = 2_000
"""A younger session may be seen before its room."""

SLOT_MARGIN_MS = 60_000
"""A younger slot is kept: its session may not have been read yet, or a newer version wrote it."""

_OUTLIVED_MARGIN_MS = 15 * 60_000  # added to the longest session: its start, and callers who come late or come back

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
        if not s.has_ended and s.requested is not None and has_room(s, now_ms) and s.session_id not in rooms
    ]


def has_room(session: Session, now_ms: int) -> bool:
    """Whether an open session must have a room by now."""
    return session.end_asked is None and now_ms - session.requested_ms > LOST_ROOM_MARGIN_MS


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


class SlotFate(StrEnum):
    """KEEP; RELEASE: no session needs it; ASK_LOG: only the log knows whether its session has ended."""

    KEEP = "keep"
    RELEASE = "release"
    ASK_LOG = "ask_log"


def slot_fate(key: int, session: Session | None, own_key: int | None, age_ms: int) -> SlotFate:
    """Decide about a held slot.

    Args:
        session: The session in it; None: it is not followed.
        own_key: The slot that this session owns.
        age_ms: Since the slot was taken.
    """
    if session is not None and not session.has_ended:
        return SlotFate.RELEASE if own_key is not None and own_key != key else SlotFate.KEEP
    if session is None and age_ms > SLOT_MARGIN_MS:
        return SlotFate.ASK_LOG
    return SlotFate.KEEP


def has_outlived(session_id: str, nodes: Iterable[NodeState], age_ms: int, longest_ms: int) -> bool:
    """Whether a slot of a session with a lost log is older than any session, and no node runs its job."""
    runs = any(job.session_id == session_id for node in nodes for job in node.jobs)
    return age_ms > longest_ms + _OUTLIVED_MARGIN_MS and not runs


def _has_lost_its_beginning(session: Session) -> bool:
    return session.requested is None and not session.unreadable and not session.has_ended
