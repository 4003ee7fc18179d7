"""The log and the registry on NATS."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Sequence
from contextlib import asynccontextmanager, contextmanager
from datetime import datetime
from time import monotonic, perf_counter
from typing import TypeVar

from chassis.logs import get_logger
from chassis.nats import (
    Bucket,
    Bus,
    BusUnavailable,
    CommandError,
    NoResponder,
    NotStored,
    PublishRefused,
    SequenceConflict,
    Stored,
    StreamFull,
    read_value,
)
from chassis.tasks import cancel
from contracts.api import Dependency
from contracts.commands import CommandFailed, DrainNode, DrainReply
from contracts.errors import LOG_REFUSED, NODE_SILENT, UNKNOWN_NODE, Refused
from contracts.events import Event, RoomEvent
from contracts.registry import NodeState, Slot
from contracts.streams import NODES, SLOTS
from contracts.subjects import node_command, session_event, session_log
from nats.errors import ConnectionClosedError
from pydantic import BaseModel, TypeAdapter

from gateway.adapters.kept import Kept
from gateway.adapters.log_tail import LogTail
from gateway.ports import BusAway, Recorded, RecordUnreadable, SessionIdTaken, StoreFull

log = get_logger(__name__)

_DRAIN_REPLY: TypeAdapter[DrainReply] = TypeAdapter(DrainReply)
_IDLE_S = 1.0
_RECONNECT_POLL_S = 0.05
_WEBHOOK_DEADLINE_S = 0.8  # LiveKit holds everything behind a webhook back until it is answered

E = TypeVar("E", bound=Event)
M = TypeVar("M", bound=BaseModel)


class NatsLog:
    """The streams SESSIONS and ROOMS."""

    def __init__(self, bus: Bus, *, deadline_s: float) -> None:
        self._bus = bus
        self._tail = LogTail(bus)
        self._deadline_s = deadline_s

    async def run(self) -> None:
        """Read the log's tail, from which every `follow` is told, until cancelled."""
        await self._tail.run()

    async def connected(self) -> None:
        """Wait until there is a connection to NATS."""
        until = monotonic() + self._deadline_s
        while not self._bus.is_connected:
            if self._bus.closed.is_set() or monotonic() >= until:
                raise _away(f"there is no connection to {self._bus.url}")
            await asyncio.sleep(_RECONNECT_POLL_S)

    async def open(self, event: Event) -> int:
        """Publish the first event of its kind for the session; returns its sequence."""
        with translated():
            try:
                done = await self._bus.publish(event, expect_last=0, deadline_s=self._deadline_s)
            except SequenceConflict as conflict:
                raise SessionIdTaken from conflict
        # The id tells apart kinds of facts, not who stated them: another's event of the same id counts as our own.
        if done.duplicate and await self.last(type(event), event.session_id) != event:
            raise SessionIdTaken
        return done.seq

    async def publish(self, event: Event) -> None:
        """Publish; repeating it is harmless."""
        with translated():
            await self._bus.publish(event, deadline_s=self._deadline_s)

    async def publish_room_event(self, event: RoomEvent) -> None:
        """Publish a webhook; repeating it is harmless."""
        with translated():
            await self._bus.publish(event, deadline_s=min(self._deadline_s, _WEBHOOK_DEADLINE_S))

    async def last(self, event: type[E], session_id: str) -> E | None:
        """The session's last event of that kind."""
        with translated():
            found = await self._bus.last(session_event(event.event, session_id), deadline_s=self._deadline_s)
        if found is None:
            return None
        if not isinstance(found.event, event):
            raise RecordUnreadable(session_id, event.event)
        return found.event

    async def latest(self, session_id: str) -> Event | None:
        """The session's last event of any kind."""
        with translated():
            found = await self._bus.last(session_log(session_id), deadline_s=self._deadline_s)
        return found.event if found is not None and isinstance(found.event, Event) else None

    async def history(self, session_id: str) -> list[Event]:
        """The session's whole log, in order."""
        with translated():
            found = await self._bus.history(session_id, deadline_s=self._deadline_s)
        return [stored.event for stored in found if isinstance(stored.event, Event)]

    async def since(self, at: datetime, *events: type[Event]) -> list[Event]:
        """All sessions' events of these kinds that were stored at or after a time."""
        replay = self._bus.replay([session_event(e.event, "*") for e in events], since=at, until_caught_up=True)
        with translated():
            async with asyncio.timeout(self._deadline_s):
                return [stored.event async for stored in replay if isinstance(stored.event, Event)]

    @asynccontextmanager
    async def follow(
        self, session_id: str, *events: type[Event], since: int | None = None, past: bool = True
    ) -> AsyncGenerator[AsyncIterator[Event]]:
        """The session's events of these kinds, told by the tail that this process reads."""
        with translated():
            async with self._tail.follow(session_id, *events, since=since, past=past) as found:
                yield found

    async def read(self, since: int | None, *events: type[Event]) -> AsyncIterator[Sequence[Recorded]]:
        """All sessions' events of these kinds in order, in batches; an empty batch after each quiet second.

        Args:
            since: The first sequence to read; None: the oldest there is.
        """
        batches = self._bus.replay([session_event(e.event, "*") for e in events], since=since).batches()
        upcoming: asyncio.Task[list[Stored]] | None = None
        try:
            while True:
                upcoming = upcoming or asyncio.create_task(_next(batches))
                await asyncio.wait({upcoming}, timeout=_IDLE_S)
                batch: list[Stored] = []
                if upcoming.done():
                    with translated():
                        batch = upcoming.result()
                    upcoming = None
                yield [Recorded(each.seq, each.event if isinstance(each.event, Event) else None) for each in batch]
        finally:
            if upcoming is not None:
                await cancel(upcoming)
            await batches.aclose()


class NatsRegistry:
    """The buckets `nodes` and `slots`."""

    def __init__(self, bus: Bus, *, deadline_s: float) -> None:
        self._bus = bus
        self._slots = bus.bucket(SLOTS)
        self._deadline_s = deadline_s
        nodes = bus.bucket(NODES)
        self._kept_nodes = Kept(lambda: self._all(nodes, NodeState))
        self._kept_slots = Kept(lambda: self._all(self._slots, Slot))

    async def nodes(self) -> list[NodeState]:
        """The live nodes."""
        return await self._kept_nodes.get()

    async def slots(self) -> list[Slot]:
        """The slots in use."""
        return await self._kept_slots.get()

    async def drain(self, node_id: str, limit_s: float) -> int:
        """Have a node finish its calls and leave; returns how many those are."""
        subject = node_command(node_id, "drain")
        try:
            with translated():
                reply = await self._bus.request(
                    subject, DrainNode(limit_s=limit_s), _DRAIN_REPLY, timeout_s=self._deadline_s
                )
        except NoResponder as error:
            raise Refused(UNKNOWN_NODE, f"No node {node_id} is alive.") from error
        except CommandError as error:
            raise Refused(NODE_SILENT, f"Node {node_id}: {error}") from error
        if isinstance(reply, CommandFailed):
            raise Refused(NODE_SILENT, f"Node {node_id} answered {reply.code}: {reply.detail}")
        return reply.jobs

    async def check(self) -> Dependency:
        """Whether NATS answers; never raises."""
        began = perf_counter()
        try:
            with translated():
                await self._slots.get("0", deadline_s=self._deadline_s)
        except BusAway as away:
            return Dependency(ok=False, detail=away.detail)
        return Dependency(ok=True, latency_ms=round((perf_counter() - began) * 1000, 2))

    async def _all(self, bucket: Bucket, model: type[M]) -> list[M]:
        with translated():
            entries = await bucket.all(deadline_s=self._deadline_s)
        found = (read_value(model, bucket.spec.name, e.key, e.value, e.revision) for e in entries.values())
        return [value for value in found if value is not None]


def _away(reason: str) -> BusAway:
    log.warning("bus.unavailable", reason=reason)  # it names the address, which is not for the caller
    return BusAway("NATS does not answer.")


@contextmanager
def translated() -> Generator[None]:
    """Tell the bus' errors in the words of the ports."""
    try:
        yield
    except (NotStored, StreamFull) as error:
        log.error("bus.stores_nothing", reason=str(error))
        raise StoreFull from error
    except (BusUnavailable, ConnectionClosedError) as error:
        raise _away(str(error)) from error
    except PublishRefused as error:
        log.error("publish.refused", subject=error.subject, reason=error.reason)
        raise Refused(LOG_REFUSED, "NATS will not store this event.") from error


async def _next(batches: AsyncIterator[list[Stored]]) -> list[Stored]:
    return await anext(batches)
