"""The streams SESSIONS and ROOMS."""

import re
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Final, Generic, TypeVar

from chassis.nats import Bus, Replay, SequenceConflict, Stored
from contracts import streams
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
from contracts.ids import SESSION_ID_PATTERN
from contracts.room_events import RoomEvent
from contracts.subjects import ALL_SESSIONS, room_event, session_event
from scheduler.adapters.nats_errors import translated
from scheduler.domain.session import ASSIGNED, ENDED, REQUESTED, Recorded, Unreadable
from scheduler.ports import LogTail, Outrun, RoomRecord

_DEADLINE_S: Final = 5.0

LIFECYCLE: Final[tuple[type[Event], ...]] = (
    SessionRequested,
    SessionQueued,
    JobAssigned,
    AgentReady,
    SessionStarted,
    AgentStopped,
    EndRequested,
    SessionEnded,
)
"""The events that the scheduler follows; it reads ticks and turns, the bulk of the log, only when a session ends."""

_ROOM_EVENTS: Final = ("participant_joined", "participant_left", "room_finished")

_DECISIVE: Final = re.compile(session_event(f"({REQUESTED}|{ASSIGNED}|{ENDED})", f"({SESSION_ID_PATTERN.strip('^$')})"))

T = TypeVar("T")


class _Feed(Generic[T]):
    def __init__(self, replay: Replay, read: Callable[[Stored], T | None]) -> None:
        self._replay = replay
        self._read = read
        self.caught_up = replay.caught_up

    async def __aiter__(self) -> AsyncIterator[T]:
        async for stored in self._replay:
            record = self._read(stored)
            if record is not None:
                yield record


class NatsSessionLog:
    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    def follow(self, after_seq: int) -> _Feed[Recorded]:
        return _Feed(self._bus.replay(_filters(LIFECYCLE), since=after_seq + 1), _recorded)

    def follow_rooms(self, since_ms: int) -> _Feed[RoomRecord]:
        filters = [room_event(name, "*") for name in _ROOM_EVENTS]
        return _Feed(self._bus.replay(filters, since=_datetime(since_ms)), _room_record)

    async def requested_since(self, since_ms: int) -> frozenset[str]:
        found: set[str] = set()
        async for stored in self._bus.replay(
            _filters((SessionRequested,)), since=_datetime(since_ms), until_caught_up=True
        ):
            if record := _recorded(stored):
                found.add(record.event.session_id)
        return frozenset(found)

    async def unfinished(self) -> frozenset[str]:
        """Compare the stream's lists of subjects; no event is read."""
        with translated():
            begun = await self._bus.subjects(session_event(REQUESTED, "*"))
            # Second, so that a session that ends meanwhile is in both.
            over = await self._bus.subjects(session_event(ENDED, "*"))
        ids = (subject.rsplit(".", 1)[1] for subject in begun)
        return frozenset(session_id for session_id in ids if session_event(ENDED, session_id) not in over)

    async def lifecycles(self, session_ids: Sequence[str]) -> Sequence[Recorded]:
        """Read the last event of each kind, and earlier ones only for sessions that were taken over or are ending."""
        kinds = [kind.event for kind in LIFECYCLE]
        subjects = [session_event(kind, session_id) for session_id in session_ids for kind in kinds]
        with translated():
            last = await self._bus.last_of_each(subjects, deadline_s=_DEADLINE_S)
            earlier = await self._bus.all_of_each(filter(_may_have_earlier, last), deadline_s=_DEADLINE_S)
        records = (_recorded(stored) for stored in (*last, *earlier))
        return sorted((record for record in records if record is not None), key=lambda record: record.seq)

    async def history(self, session_id: str) -> Sequence[Recorded]:
        with translated():
            stored = await self._bus.history(session_id, deadline_s=_DEADLINE_S)
        return [record for record in map(_recorded, stored) if record is not None]

    async def begins_ms(self) -> int:
        with translated():
            use = await self._bus.use_of(streams.SESSIONS, deadline_s=_DEADLINE_S)
        return round(use.begins_at.timestamp() * 1000)

    async def made_ms(self) -> int:
        with translated():
            use = await self._bus.use_of(streams.SESSIONS, deadline_s=_DEADLINE_S)
        return round(use.created.timestamp() * 1000)

    async def append(self, event: Event, *, expect_last: int | None = None) -> Recorded:
        try:
            with translated():
                published = await self._bus.publish(event, expect_last=expect_last, deadline_s=_DEADLINE_S)
        except SequenceConflict as conflict:
            raise Outrun(str(conflict)) from conflict
        if not published.duplicate:
            # The acknowledgement has no timestamp; the event's own time was taken from the log's clock.
            return Recorded(event, round(event.time.timestamp() * 1000), published.seq)
        # The same id means the same fact, but another scheduler may have written it with another node.
        with translated():
            last = await self._bus.last(event.subject, deadline_s=_DEADLINE_S)
        record = _recorded(last) if last is not None else None
        if record is None or record.event.id != event.id:
            if expect_last is None:  # a later one of its kind, such as the next `tick`, contradicts nothing
                return Recorded(event, round(event.time.timestamp() * 1000), published.seq)
            raise Outrun(f"{event.subject}: the log holds another fact")
        return record

    async def tail(self) -> LogTail:
        with translated():
            last = await self._bus.last(ALL_SESSIONS, deadline_s=_DEADLINE_S)
            # Read second, so that no request before the end is missed.
            request = await self._bus.last(session_event(SessionRequested.event, "*"), deadline_s=_DEADLINE_S)
        return LogTail(seq=0 if last is None else last.seq, last_request_seq=0 if request is None else request.seq)

    async def clock(self) -> tuple[int, int]:
        with translated():
            use = await self._bus.use_of(streams.SESSIONS)
        return round(use.at.timestamp() * 1000), use.last_seq


def _filters(kinds: Iterable[type[Event]]) -> list[str]:
    return [session_event(kind.event, "*") for kind in kinds]


def _may_have_earlier(stored: Stored) -> bool:
    """Whether the log may hold an earlier event of this kind and session that counts."""
    match stored.event:
        case JobAssigned() | AgentReady():
            return stored.event.epoch > 1
        case AgentStopped() | EndRequested() | None:
            return True
        case _:
            return False


def _recorded(stored: Stored) -> Recorded | None:
    """The record; None for an event that this version cannot parse, unless it is decisive."""
    event = stored.event if isinstance(stored.event, Event) else _unreadable(stored)
    return None if event is None else Recorded(event, stored.stored_ms, stored.seq, stored.headers)


def _unreadable(stored: Stored) -> Unreadable | None:
    found = _DECISIVE.fullmatch(stored.subject) if stored.unreadable else None
    if found is None:
        return None
    kind, session_id = found.groups()
    return Unreadable(session_id=session_id, time=_datetime(stored.stored_ms), kind=kind)


def _room_record(stored: Stored) -> RoomRecord | None:
    return RoomRecord(stored.event, stored.stored_ms) if isinstance(stored.event, RoomEvent) else None


def _datetime(unix_ms: int) -> datetime:
    return datetime.fromtimestamp(max(0, unix_ms) / 1000, UTC)
