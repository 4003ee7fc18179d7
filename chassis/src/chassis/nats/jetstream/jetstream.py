"""JetStream as the services use it: declare, publish, read back, replay."""

from collections.abc import Iterable, Sequence
from typing import Unpack

from nats.aio.client import Client
from nats.js import JetStreamContext

from chassis.health import Check
from chassis.nats.connection.connection import Connection
from chassis.nats.jetstream import position, read, state
from chassis.nats.jetstream.direct import Raw
from chassis.nats.jetstream.messages import Stored, stored, stream_of
from chassis.nats.jetstream.position import StreamPosition
from chassis.nats.jetstream.publish import Publisher
from chassis.nats.jetstream.replay import Replay, ReplayOptions
from chassis.nats.jetstream.unreadable import UnreadableRecords
from contracts.streams import SESSIONS, StreamSpec
from contracts.subjects import ALL_SESSIONS, session_log


class JetStream(Publisher):
    """The streams of one service. The reads raise `BusUnavailable` when they are not complete by their deadline.

    Attributes:
        checks: Readiness: of the connection, of the declared streams, and of each started consumer.
        unreadable: Where readers report messages that they cannot read.
    """

    def __init__(self, connection: Connection, *, replicas: int) -> None:
        super().__init__(connection, replicas=replicas)
        self.checks: dict[str, Check] = {"nats": connection.check, "streams": self.check_streams}
        self.unreadable = UnreadableRecords(self.publish_raw)

    @property
    def nc(self) -> Client:
        """nats-py's connection, for this package and for tests."""
        return self.connection.nc

    @property
    def js(self) -> JetStreamContext:
        """nats-py's JetStream context, for this package and for tests."""
        return self.connection.js

    async def close(self) -> None:
        await super().close()
        await self.unreadable.close()

    async def last(self, subject: str, *, deadline_s: float = 5.0) -> Stored | None:
        """The last message of a subject or filter, read from the stream's leader."""
        raw = await read.last(self.connection, stream_of(subject), subject, deadline_s=deadline_s)
        return None if raw is None else self._stored(raw)

    async def each(self, subject: str, *, deadline_s: float = 5.0) -> list[Stored]:
        """All messages of a subject or filter in stream order, one request each: for a user without direct gets."""
        found = await read.each(self.connection, stream_of(subject), subject, deadline_s=deadline_s)
        return [self._stored(raw) for raw in found]

    async def history(self, session_id: str, *, deadline_s: float = 5.0) -> list[Stored]:
        """All events of one session in stream order, complete up to the call."""
        found = await read.scan(self.connection, SESSIONS.name, session_log(session_id), deadline_s=deadline_s)
        return [self._stored(raw) for raw in found]

    async def last_of_each(self, subjects: Sequence[str], *, deadline_s: float = 5.0) -> list[Stored]:
        """The last message of each of these subjects of the sessions' log, without wildcards."""
        if not subjects:
            return []
        found = await read.last_of_each(self.connection, SESSIONS.name, ALL_SESSIONS, subjects, deadline_s=deadline_s)
        return [self._stored(raw) for raw in found]

    async def all_of_each(self, last: Iterable[Stored], *, deadline_s: float = 5.0) -> list[Stored]:
        """All messages on the subjects of these last messages, which belong to one stream."""
        newest = {record.subject: record.seq for record in last}
        if not newest:
            return []
        stream = stream_of(next(iter(newest)))
        found = await read.all_of_each(self.connection, stream, newest, deadline_s=deadline_s)
        return [self._stored(raw) for raw in found]

    async def subjects(self, wildcard: str, *, deadline_s: float = 30.0) -> set[str]:
        """The subjects that match this filter and have a message."""
        return await state.subjects_of(self.connection, stream_of(wildcard), wildcard, deadline_s=deadline_s)

    async def position_of(self, stream: StreamSpec, durable: str) -> StreamPosition | None:
        """Where a durable consumer stands; None when it does not exist, as for a moment while it is moved."""
        return await position.position_of(self.connection, stream.name, durable)

    async def show_position(
        self, stream: StreamSpec, durable: str, filters: Sequence[str], seq: int, *, may_go_back: bool
    ) -> None:
        """Show that everything up to `seq` is dealt with, by a durable consumer that is never read.

        Args:
            may_go_back: Replace a later position too.
        """
        await position.show_position(self.connection, stream.name, durable, filters, seq, may_go_back=may_go_back)

    async def account_streams(self, *, deadline_s: float) -> int:
        """How many streams the account has; `BusUnavailable` too when the server runs without JetStream."""
        return await state.account_streams(self.connection, deadline_s=deadline_s)

    def replay(self, filters: str | Sequence[str], **options: Unpack[ReplayOptions]) -> Replay:
        """Read one stream in order: `async for stored in bus.replay("voice.v1.session.>", since=...)`.

        Args:
            filters: Subjects or filters, all of one stream.
        """
        chosen = [filters] if isinstance(filters, str) else list(filters)
        return Replay(self.connection, stream_of(chosen[0]), chosen, self.unreadable.met, **options)

    def _stored(self, raw: Raw) -> Stored:
        record = stored(raw.subject, raw.data, seq=raw.seq, at=raw.at, headers=raw.headers)
        if record.unreadable:
            self.unreadable.met(record)
        return record
