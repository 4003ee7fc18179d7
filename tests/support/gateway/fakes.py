"""What is behind the gateway, in memory: written against its ports, with the faults that the tests need."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any, TypeVar

from contracts.api import Dependency, SessionBill, UserBill
from contracts.errors import BILLING_UNAVAILABLE, IDEMPOTENCY_STORE_FULL, NOT_BILLED_YET, UNKNOWN_NODE, Refused
from contracts.events import Event, ServedTick, SessionRequested
from contracts.registry import NodeState, QueueState, Slot
from contracts.room_events import RoomEvent
from gateway.domain.logged import FellBehind, LoggedEvent
from gateway.domain.queue import may_be_full
from gateway.domain.read_model import READY, STARTING, SessionState, Status
from gateway.domain.rooms import MadeRoom
from gateway.domain.session_filter import Cursor, SessionFilter
from gateway.ports import (
    K,
    KeyedEntry,
    NatsUnavailable,
    Page,
    PositionMoved,
    ReadModelUnavailable,
    SessionIdTaken,
)
from tests.support.bills import session_bill
from tests.support.events import NOW, T0

E = TypeVar("E", bound=Event)


class FakeLog:
    """The log; with `is_away` NATS does not answer, with `refuses_writes` only what is published fails."""

    def __init__(self, *events: Event) -> None:
        self.events: list[Any] = list(events)
        self.rooms: dict[str, RoomEvent] = {}
        self.trace_id = ""
        self.is_away = False
        self.refuses_writes = False
        self.watchers = 0
        self.is_behind = False
        """Each watch loses events."""
        self.may_lack_sessions = False
        self.goes_on = False
        """A follower waits for more than there is."""
        self.opening: Callable[[Event], Awaitable[None]] | None = None
        """Called before a `requested` is published: what happens meanwhile, or goes wrong."""
        self.on_publish: dict[type[Event], Event] = {}
        """What somebody else publishes in answer to an event of that kind."""

    async def connected(self) -> None:
        self._check()

    async def open(self, event: Event, secret: str = "") -> int:
        if self.opening is not None:
            await self.opening(event)
        self._check(writing=True)
        if any(type(e) is type(event) and e.session_id == event.session_id for e in self.events):
            raise SessionIdTaken
        seq = len(self.events) + 1
        await self.publish(event)
        return seq

    async def publish(self, event: Event) -> None:
        self._check(writing=True)
        if any(e.id == event.id for e in self.events):
            return
        self.events.append(event)
        if type(event) in self.on_publish:
            self.events.append(self.on_publish[type(event)])

    async def publish_room_event(self, event: RoomEvent) -> None:
        self._check(writing=True)
        self.rooms[event.id] = event

    async def last(self, event: type[E], session_id: str) -> E | None:
        self._check()
        return next((e for e in reversed(self.events) if isinstance(e, event) and e.session_id == session_id), None)

    async def latest(self, session_id: str) -> Event | None:
        self._check()
        return next((e for e in reversed(self.events) if e.session_id == session_id), None)

    async def history(self, session_id: str) -> list[Event]:
        self._check()
        return [e for e in self.events if e.session_id == session_id]

    async def records(self, session_id: str) -> list[LoggedEvent]:
        self._check()
        numbered = enumerate(self.events, start=1)
        return [LoggedEvent(seq, e, trace_id=self.trace_id) for seq, e in numbered if e.session_id == session_id]

    async def max_age(self) -> timedelta:
        self._check()
        return timedelta(days=7)

    async def since(self, at: datetime, *events: type[Event]) -> list[Event]:
        self._check()
        return [e for e in self.events if isinstance(e, events) and e.time >= at]

    @asynccontextmanager
    async def follow(
        self, session_id: str, *events: type[Event], since: int | None = None, past: bool = True
    ) -> AsyncGenerator[AsyncIterator[Event]]:
        async def found() -> AsyncIterator[Event]:
            for event in list(self.events):
                if isinstance(event, events) and event.session_id == session_id:
                    yield event
            if not self.goes_on:
                raise TimeoutError  # nothing more comes
            await asyncio.Event().wait()

        self._check()
        yield found()

    @asynccontextmanager
    async def watch(self, session_id: str | None = None) -> AsyncGenerator["FakeWatch"]:
        self._check()
        self.watchers += 1
        try:
            yield FakeWatch(self, session_id)
        finally:
            self.watchers -= 1

    async def read(self, since: int | None, *events: type[Event]) -> AsyncIterator[Sequence[LoggedEvent]]:
        seq = (since or 1) - 1
        while True:
            for event in self.events[seq:]:
                seq += 1
                if isinstance(event, events):
                    yield [LoggedEvent(seq, event)]
            await asyncio.sleep(0.01)
            yield []  # a quiet moment

    def requests(self) -> list[SessionRequested]:
        return [e for e in self.events if isinstance(e, SessionRequested)]

    def _check(self, *, writing: bool = False) -> None:
        if self.is_away or (writing and self.refuses_writes):
            raise NatsUnavailable("NATS does not answer.")


class FakeWatch:
    """Polls the log; for all sessions it begins with what the log has."""

    def __init__(self, log: FakeLog, session_id: str | None) -> None:
        self._log = log
        self._session_id = session_id
        self._seq = 0 if session_id is None else len(log.events)
        self._has_begun = session_id is not None

    async def next(self) -> list[LoggedEvent]:
        while self._has_begun and len(self._log.events) == self._seq and not self._log.is_behind:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
        self._has_begun = True
        if self._log.is_behind:
            raise FellBehind
        new = [LoggedEvent(seq, e) for seq, e in enumerate(self._log.events, start=1) if seq > self._seq]
        self._seq = len(self._log.events)
        told = [each for each in new if each.event and not isinstance(each.event, ServedTick)]  # as the log's tail
        return [each for each in told if each.event and self._session_id in (None, each.event.session_id)]


class FakeWords:
    """The keys by session; with `is_away` NATS does not answer."""

    def __init__(self) -> None:
        self.secrets: dict[str, str] = {}
        self.erased: set[str] = set()
        self.refusal: Exception | None = None

    async def secret_for(self, session_id: str) -> str:
        if self.refusal is not None:
            raise self.refusal
        if session_id in self.erased:
            raise SessionIdTaken
        return self.secrets.setdefault(session_id, f"secret of {session_id}")

    async def erase(self, session_id: str) -> None:
        if self.refusal is not None:
            raise self.refusal
        self.secrets.pop(session_id, None)
        self.erased.add(session_id)


class FakeRooms:
    """LiveKit's rooms by name."""

    def __init__(self) -> None:
        self.open: set[str] = set()
        self.made = 0
        self.failure: Refused | None = None
        self.foreign: dict[str, MadeRoom] = {}
        """Rooms that something else made, as CreateRoom answers for them."""
        self.inside: dict[str, frozenset[str]] = {}
        self.turns = asyncio.Semaphore(1_000)

    @asynccontextmanager
    async def in_line(self) -> AsyncGenerator[None]:
        async with self.turns:
            yield

    async def create(self, session_id: str) -> MadeRoom:
        if self.failure:
            raise self.failure
        self.made += 1
        existed = session_id in self.open
        self.open.add(session_id)
        return self.foreign.get(session_id) or MadeRoom(is_new=not existed, has_our_settings=True, created_at=NOW)

    async def identities(self, session_id: str) -> frozenset[str]:
        if self.failure:
            raise self.failure
        return self.inside.get(session_id, frozenset())

    async def delete(self, session_id: str) -> None:
        if self.failure:
            raise self.failure
        self.open.discard(session_id)
        self.foreign.pop(session_id, None)
        self.inside.pop(session_id, None)

    async def check(self) -> Dependency:
        return Dependency(ok=self.failure is None)


class FakeVoices:
    def __init__(self, known: frozenset[str] | None = None) -> None:
        self.voices = known

    async def known(self) -> frozenset[str] | None:
        return self.voices


class FakeKeys:
    """The bucket `idempotency`."""

    def __init__(self) -> None:
        self.entries: dict[str, tuple[Any, int]] = {}
        self.is_full = False

    async def find(self, name: str, kind: type[K]) -> KeyedEntry[K] | None:
        return KeyedEntry(*self.entries[name]) if name in self.entries else None

    async def put_if_absent(self, name: str, entry: K) -> KeyedEntry[K]:
        if name in self.entries:
            return KeyedEntry(*self.entries[name])
        if self.is_full:
            raise Refused(IDEMPOTENCY_STORE_FULL, "No room left.", retry_after_s=60)
        self.entries[name] = entry, 1
        return KeyedEntry(entry, 1, is_ours=True)

    async def replace(self, name: str, keyed: KeyedEntry[K], entry: K) -> KeyedEntry[K]:
        _, revision = self.entries[name]
        if revision != keyed.revision:
            return KeyedEntry(*self.entries[name])
        self.entries[name] = entry, revision + 1
        return KeyedEntry(entry, revision + 1, is_ours=True)

    def sessions(self) -> list[str]:
        return [entry.session_id for entry, _ in self.entries.values()]


FULL_QUEUE = QueueState(waiting=1, max_queue=0, seq=0)
FULL_LOG = QueueState(waiting=0, max_queue=50, seq=0, log_is_full=True)


class FakeQueue:
    """The scheduler's last report of its queue."""

    def __init__(self) -> None:
        self.state: QueueState | None = None

    @property
    def log_is_full(self) -> bool:
        return self.state is not None and self.state.log_is_full

    def may_be_full(self, seq: int | None) -> bool:
        return may_be_full(self.state, seq)


class FakeSeats:
    """The bucket `seats`: the first user by session."""

    def __init__(self) -> None:
        self.taken: dict[str, str] = {}

    async def take(self, session_id: str, user: str) -> str:
        return self.taken.setdefault(session_id, user)

    async def erase(self, session_id: str) -> None:
        if session_id in self.taken:
            self.taken[session_id] = ""


class FakePrejoinedRooms:
    """Rooms by id, with their region."""

    def __init__(self, **rooms: str | None) -> None:
        self.waiting: dict[str, str | None] = {}
        self.taken: list[str] = []
        self.offer(**rooms)

    def offer(self, **rooms: str | None) -> None:
        self.waiting |= rooms

    @property
    def ids(self) -> frozenset[str]:
        return frozenset(self.waiting)

    async def claim(self, *, region: str | None) -> str | None:
        found = next((name for name, place in self.waiting.items() if region in (None, place)), None)
        if found is not None:
            del self.waiting[found]
            self.taken.append(found)
        return found


class FakeRegistry:
    def __init__(self, nodes: Sequence[NodeState] = (), slots: Sequence[Slot] = ()) -> None:
        self.node_states = list(nodes)
        self.taken = list(slots)
        self.drained: list[tuple[str, float]] = []
        self.is_away = False
        self.is_led = True

    async def drain(self, node_id: str, limit_s: float) -> int:
        if self.is_away:
            raise NatsUnavailable("NATS does not answer.")
        state = next((node for node in self.node_states if node.node_id == node_id), None)
        if state is None:
            raise Refused(UNKNOWN_NODE, f"No node {node_id} is alive.")
        self.drained.append((node_id, limit_s))
        return state.busy

    async def nodes(self) -> list[NodeState]:
        if self.is_away:
            raise NatsUnavailable("NATS does not answer.")
        return self.node_states

    async def slots(self) -> list[Slot]:
        if self.is_away:
            raise NatsUnavailable("NATS does not answer.")
        return self.taken

    async def has_scheduler(self) -> bool:
        return self.is_led

    async def check(self) -> Dependency:
        return Dependency(ok=not self.is_away)


class FakeReadModel:
    """Redis; the adapter's own suite runs on a real one."""

    def __init__(self) -> None:
        self.stored: dict[str, SessionState] = {}
        self.configs: dict[str, Mapping[str, str]] = {}
        self.at: str | None = None
        self.pool: frozenset[str] | None = None
        self.is_away = False
        self.writes = 0
        self.written_again = 0
        self.asked_after: Cursor | None = None

    def flush(self) -> None:
        self.stored, self.configs, self.at, self.pool = {}, {}, None, None

    async def get(self, session_id: str) -> SessionState | None:
        self._check()
        return self.stored.get(session_id)

    async def page(self, statuses: frozenset[Status], *, limit: int, cursor: str | None) -> Page:
        self._check()
        return Page([s for s in self.stored.values() if not statuses or s.status in statuses][:limit], None)

    async def find(
        self, wanted: SessionFilter, *, limit: int, after: Cursor | None
    ) -> tuple[Sequence[SessionState], Cursor | None]:
        self._check()
        self.asked_after = after
        found = [state for state in self.stored.values() if wanted.matches(state)]
        last = found[limit - 1] if len(found) > limit else None
        return found[:limit], None if last is None else Cursor(T0, last.session_id)

    async def open_sessions(self) -> list[SessionState]:
        self._check()
        return [state for state in self.stored.values() if state.status in STARTING | READY]

    async def count(self) -> Mapping[Status, int]:
        self._check()
        statuses = [state.status for state in self.stored.values()]
        return {status: statuses.count(status) for status in statuses}

    async def check(self) -> Dependency:
        return Dependency(ok=not self.is_away)

    async def position(self) -> str | None:
        self._check()
        return self.at

    async def states(self, session_ids: Iterable[str]) -> dict[str, SessionState]:
        self._check()
        return {i: self.stored[i] for i in session_ids if i in self.stored}

    async def write(
        self,
        states: Iterable[SessionState],
        user_configs: Mapping[str, Mapping[str, str]],
        *,
        at: str | None,
        then: str,
    ) -> None:
        self._check()
        if self.at != at:
            raise PositionMoved(f"{self.at} is not {at}")
        self.stored |= {state.session_id: state for state in states}
        self.configs |= dict(user_configs)
        self.at = then
        self.writes += 1

    async def write_again(self) -> None:
        self._check()
        self.written_again += 1

    async def delete_from_lists(self, session_id: str, configs: Iterable[tuple[str, str]]) -> None:
        self._check()
        for user_name, updated_at in configs:
            if self.configs.get(user_name, {}).get("updatedAt") == updated_at:
                del self.configs[user_name]

    async def mirror_pool(self, members: frozenset[str]) -> None:
        self._check()
        self.pool = members

    def _check(self) -> None:
        if self.is_away:
            raise ReadModelUnavailable("Redis does not answer.")


class FakeBilling:
    """`settled`: sessions with a bill; `is_away`: it answers nothing; `is_silent`: it does not even refuse."""

    def __init__(self) -> None:
        self.settled: set[str] = set()
        self.is_away = False
        self.is_silent = False
        self.asked: list[str] = []
        self.users: list[tuple[str, str | None]] = []
        self.account = "ada"

    async def check(self) -> Dependency:
        return Dependency(ok=not self.is_away, detail="ConnectError" if self.is_away else "")

    async def session(self, session_id: str) -> SessionBill:
        self.asked.append(session_id)
        if self.is_silent:
            await asyncio.sleep(3600)
        if self.is_away:
            raise Refused(BILLING_UNAVAILABLE, "Billing is away.")
        if session_id not in self.settled:
            raise Refused(NOT_BILLED_YET, f"Session {session_id} is not billed yet.")
        return session_bill(session_id, user_id=self.account)

    async def user(
        self, user_id: str, *, limit: int | None, cursor: str | None, account: str | None = None
    ) -> UserBill:
        self.users.append((user_id, account))
        items = [await self.session(session_id) for session_id in sorted(self.settled)]
        return UserBill(user_id=user_id, sessions=len(items), seconds=0, minutes=0, credits=0, items=items)
