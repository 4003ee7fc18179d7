"""The bus of one service: one connection, and everything that is done over it."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Generator, Iterable, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any, TypeVar, overload

from contracts.events import Event, RoomEvent
from contracts.streams import SESSIONS, BucketSpec, StreamSpec, stream_name
from contracts.subjects import session_log
from faststream.nats import NatsBroker
from nats.aio.client import Client
from nats.js import JetStreamContext
from opentelemetry.trace import SpanKind
from pydantic import BaseModel, TypeAdapter

from chassis import metrics, telemetry
from chassis.access import NatsAccess
from chassis.health import Check
from chassis.nats import commands, many, publishing, reading
from chassis.nats.bucket import Bucket
from chassis.nats.connection import Connection
from chassis.nats.declared import Declared
from chassis.nats.errors import BusRefused, BusUnavailable, StreamMissing
from chassis.nats.full_disk import tell_a_full_disk
from chassis.nats.messages import Published, Stored, headers_of, stored, stream_of
from chassis.nats.replay import Replay
from chassis.nats.stream_use import StreamUse, stream_use
from chassis.nats.unreadable import UnreadableRecords

T = TypeVar("T")

_CLOSE_MARGIN_S = 5.0

_PUBLISHED = metrics.histogram("bus_publish_seconds", "Time until JetStream acknowledged an event", ("event",))


class Bus:
    """One service's connection to NATS; made by `connect`.

    Attributes:
        name: The client's name; its inboxes begin with `_INBOX_<name>.`.
        url: Where it is connected to, without password.
        graceful_timeout_s: How long a stop waits for handlers.
        checks: Readiness: the connection's, that of what was declared, and one of each started consumer.
        unreadable: Where readers report what they cannot read.
    """

    def __init__(self, connection: Connection, *, replicas: int, graceful_timeout_s: float) -> None:
        self._connection = connection
        self.graceful_timeout_s = graceful_timeout_s
        self._declared = Declared(lambda: self.js, connection, replicas=replicas)
        self.name = connection.name
        self.url = connection.url
        self.checks: dict[str, Check] = {"nats": self._check, "streams": self._declared.check}
        self.unreadable = UnreadableRecords(self.publish_raw)

    @classmethod
    async def connect(
        cls,
        access: NatsAccess | str,
        *,
        name: str,
        deadline_s: float = 10.0,
        replicas: int = 1,
        graceful_timeout_s: float = 15.0,
    ) -> "Bus":
        """Connect; from then on it reconnects for ever.

        Args:
            access: Where it is, or only its URL: nats://[user:password@]host:port, several with commas between.
            replicas: Copies of each stream and bucket that `ensure` makes; 3 in a cluster.
            graceful_timeout_s: How long a stop waits for handlers.

        Raises:
            BusUnavailable: Nobody answered by the deadline.
            BusRefused: The server does not take our credentials, or what we were given to connect with is unusable.
        """
        if isinstance(access, str):
            try:
                access = NatsAccess.of(access)
            except ValueError as error:
                raise BusRefused(f"NATS_URL: {error}", "an unknown place", fix="Correct NATS_URL.") from error
        connection = Connection(access, name=name, graceful_timeout_s=graceful_timeout_s)
        await connection.open(deadline_s)
        return cls(connection, replicas=replicas, graceful_timeout_s=graceful_timeout_s)

    @property
    def connection(self) -> Connection:
        """What is known about the connection."""
        return self._connection

    @property
    def broker(self) -> NatsBroker:
        """FastStream's broker, for a subscriber that nothing here offers."""
        return self._connection.broker

    @property
    def nc(self) -> Client:
        """nats-py's connection."""
        return self.broker.config.connection_state.connection

    @property
    def js(self) -> JetStreamContext:
        """nats-py's JetStream context."""
        return self.broker.config.connection_state.stream

    @property
    def is_connected(self) -> bool:
        """Whether a server is there now."""
        return not self.closed.is_set() and self.nc.is_connected

    @property
    def closed(self) -> asyncio.Event:
        """Set once the connection is over for good; a process that still wants it must end."""
        return self._connection.closed

    def on_reconnect(self, callback: Callable[[], Awaitable[None]]) -> None:
        """Call this after each reconnect, such as to read back what was missed."""
        self._connection.on_reconnect(callback)

    async def close(self) -> None:
        """Stop what is still subscribed and disconnect; safe to repeat."""
        await self._declared.close()
        await self.unreadable.close()
        await self._connection.close(self.graceful_timeout_s + _CLOSE_MARGIN_S)

    @contextmanager
    def naming_refusals(self) -> Generator[None]:
        """Say in a BusUnavailable when the server refused a subject: it tells so beside the call that got no reply."""
        refusals = self._connection.refusals
        try:
            yield
        except BusUnavailable as error:
            refusal = self._connection.refusal_since(refusals)
            if refusal is None:
                raise
            raise BusUnavailable(f"{error.doing} ({refusal})", self.url) from error

    async def ensure(
        self,
        streams: Iterable[StreamSpec] = (),
        buckets: Iterable[BucketSpec] = (),
        *,
        owned: Collection[StreamSpec | BucketSpec] | None = None,
        deadline_s: float = 10.0,
    ) -> None:
        """Create these streams and buckets, or bring them to this shape.

        Args:
            owned: Those that an update may change; the others stay as they are once they exist. None: all.

        Raises:
            BusUnavailable: Not done by the deadline.
            BusRefused: NATS will not do it.
        """
        await self._declared.ensure(streams, buckets, owned=owned, deadline_s=deadline_s)

    async def redeclare(self) -> None:
        """Make again what `ensure` made, after the server lost it; each reconnect does so by itself."""
        await self._declared.again()

    async def use_of(self, spec: StreamSpec | BucketSpec, *, deadline_s: float = 2.0) -> StreamUse:
        """How full the stream or bucket is. One that is missing is made again, beside.

        Raises:
            StreamMissing: There is none now.
            BusUnavailable: No answer by the deadline.
        """
        try:
            with self.naming_refusals():
                return await stream_use(self.nc, stream_name(spec), deadline_s=deadline_s, url=self.url)
        except StreamMissing:
            self._declared.make_again()
            raise

    async def restore(self, bucket: BucketSpec) -> bool:
        """Make a bucket anew, empty, if a former version stored it otherwise; True: it did.

        Raises:
            BusUnavailable: It could not be done.
            BusRefused: It is not permitted.
        """
        return await self._declared.restore(bucket)

    async def reconnect_if_silent(self, answer_s: float) -> None:
        """Connect anew, to another server where there is one, if ours does not answer a ping within so many seconds."""
        await self._connection.reconnect_if_silent(answer_s)

    async def publish(
        self, event: Event | RoomEvent, *, expect_last: int | None = None, deadline_s: float = 10.0
    ) -> Published:
        """Publish an event once, repeating it with the same id until JetStream has acknowledged it.

        Args:
            expect_last: Sequence that the last message on the event's subject must have; 0: there must be none.

        Raises:
            SequenceConflict: It has another, and is not this very event (then it is a success, `duplicate` True).
            PublishRefused: The stream does not take it.
            BusUnavailable: No answer by the deadline.
        """
        with (
            telemetry.span(
                f"publish {event.event}",
                SpanKind.PRODUCER,
                attributes={"messaging.system": "nats", "messaging.destination.name": event.subject},
            ),
            _PUBLISHED.labels(event.event).time(),
        ):
            return await self.publish_raw(
                event.subject,
                event.model_dump_json().encode(),
                headers=headers_of(event, self.name),
                expect_last=expect_last,
                deadline_s=deadline_s,
            )

    async def publish_raw(
        self,
        subject: str,
        data: bytes,
        *,
        headers: dict[str, str],
        stream: str | None = None,
        expect_last: int | None = None,
        deadline_s: float = 10.0,
    ) -> Published:
        """Publish bytes like `publish`; `headers` hold the `Nats-Msg-Id`."""
        stream = stream or stream_of(subject)
        try:
            with self.naming_refusals():
                return await publishing.publish(
                    self.js,
                    subject,
                    data,
                    stream=stream,
                    headers=headers | telemetry.inject(),
                    expect_last=expect_last,
                    deadline_s=deadline_s,
                    url=self.url,
                    no_stream=self._declared.make_again,
                )
        except BusUnavailable as error:
            if isinstance(error.__cause__, TimeoutError) and self.is_connected:
                await tell_a_full_disk(self.nc, stream, error, url=self.url)
            raise

    async def last(self, subject: str, *, deadline_s: float = 5.0) -> Stored | None:
        """The last message of a subject or filter, read from the stream's leader.

        Raises:
            BusUnavailable: No answer by the deadline.
        """
        with self.naming_refusals():
            raw = await reading.last(self.js, stream_of(subject), subject, deadline_s=deadline_s, url=self.url)
        return None if raw is None else self._stored(raw)

    async def each(self, subject: str, *, deadline_s: float = 5.0) -> list[Stored]:
        """All messages of a subject or filter in stream order, one request each: for a user without direct gets.

        Raises:
            BusUnavailable: Not complete by the deadline.
        """
        with self.naming_refusals():
            found = await reading.each(self.js, stream_of(subject), subject, deadline_s=deadline_s, url=self.url)
        return [self._stored(raw) for raw in found]

    async def history(self, session_id: str, *, deadline_s: float = 5.0) -> list[Stored]:
        """All events of one session in stream order, complete up to the call.

        Raises:
            BusUnavailable: Not complete by the deadline.
        """
        with self.naming_refusals():
            found = await reading.scan(
                self.nc, self.js, SESSIONS.name, session_log(session_id), deadline_s=deadline_s, url=self.url
            )
        return [self._stored(raw) for raw in found]

    async def last_of_each(self, subjects: Sequence[str], *, deadline_s: float = 5.0) -> list[Stored]:
        """The last message of each of these subjects, none of them a filter; all of one stream.

        Raises:
            BusUnavailable: Not complete by the deadline.
        """
        if not subjects:
            return []
        stream = stream_of(subjects[0])
        with self.naming_refusals():
            found = await many.last_of_each(self.nc, self.js, stream, subjects, deadline_s=deadline_s, url=self.url)
        return [self._stored(raw) for raw in found]

    async def all_of_each(self, last: Iterable[Stored], *, deadline_s: float = 5.0) -> list[Stored]:
        """All messages of the subjects of which these are the last; all of one stream.

        Raises:
            BusUnavailable: Not complete by the deadline.
        """
        newest = {record.subject: record.seq for record in last}
        if not newest:
            return []
        stream = stream_of(next(iter(newest)))
        with self.naming_refusals():
            found = await many.all_of_each(self.nc, stream, newest, deadline_s=deadline_s, url=self.url)
        return [self._stored(raw) for raw in found]

    async def subjects(self, wildcard: str, *, deadline_s: float = 30.0) -> set[str]:
        """The subjects that match this filter and have a message.

        Raises:
            BusUnavailable: Not complete by the deadline.
        """
        with self.naming_refusals():
            return await many.subjects_of(self.nc, stream_of(wildcard), wildcard, deadline_s=deadline_s, url=self.url)

    def replay(
        self,
        filters: str | Sequence[str],
        *,
        since: int | datetime | None = None,
        until_caught_up: bool = False,
        wants: Callable[[str], bool] | None = None,
    ) -> Replay:
        """Read one stream in order: `async for stored in bus.replay("voice.v1.session.>")`.

        Args:
            filters: Subjects or filters, all of one stream.
            since: The first sequence to read, or the time it was stored at or after; None begins with the oldest.
            until_caught_up: End once all that is there has been read; else go on with what comes.
            wants: Which of them, by the subject; what is left out costs no parsing.
        """
        chosen = [filters] if isinstance(filters, str) else list(filters)
        return self.reader(stream_of(chosen[0]), chosen, since=since, until_caught_up=until_caught_up, wants=wants)

    def reader(
        self,
        stream: str,
        filters: Sequence[str],
        *,
        since: int | datetime | None = None,
        last_per_subject: bool = False,
        until_caught_up: bool = False,
        wants: Callable[[str], bool] | None = None,
    ) -> Replay:
        """`replay` of a stream by its name."""
        return Replay(
            self.nc,
            self.js,
            stream,
            filters,
            since=since,
            last_per_subject=last_per_subject,
            until_caught_up=until_caught_up,
            wants=wants,
            unreadable=self.unreadable.met,
        )

    @overload
    async def request(self, subject: str, command: BaseModel, reply: type[T], *, timeout_s: float = 1.0) -> T: ...
    @overload
    async def request(
        self, subject: str, command: BaseModel, reply: TypeAdapter[T], *, timeout_s: float = 1.0
    ) -> T: ...
    async def request(self, subject: str, command: BaseModel, reply: Any, *, timeout_s: float = 1.0) -> Any:
        """Send a command and wait for its typed reply.

        Raises:
            NoResponder: Nobody listens; it was not carried out.
            CommandTimeout: No reply in time; it may have been carried out.
            BadReply: The reply has another shape.
            BusUnavailable: There is no connection.
        """
        return await commands.request(self.nc, subject, command, reply, timeout_s=timeout_s, url=self.url)

    def bucket(self, spec: BucketSpec) -> Bucket:
        """A key-value bucket that `ensure` has made."""
        return Bucket(self, spec)

    async def _check(self) -> str | None:
        return None if self.is_connected else f"no connection to {self.url}"

    def _stored(self, raw: reading.Raw) -> Stored:
        record = stored(raw.subject, raw.data, seq=raw.seq, at=raw.at, headers=raw.headers)
        if record.unreadable:
            self.unreadable.met(record)
        return record
