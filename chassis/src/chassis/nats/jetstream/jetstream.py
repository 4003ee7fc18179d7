"""JetStream as the services use it: publish, read back, replay, and declare what there is."""

from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import datetime

from contracts.events import Event, RoomEvent
from contracts.streams import SESSIONS, BucketSpec, StreamSpec, stream_name
from contracts.subjects import session_log
from nats.aio.client import Client
from nats.js import JetStreamContext
from opentelemetry.trace import SpanKind

from chassis import metrics, telemetry
from chassis.health import Check
from chassis.nats.connection.connection import Connection
from chassis.nats.errors import BusUnavailable, StreamMissing
from chassis.nats.jetstream import many, publish, read
from chassis.nats.jetstream.declared import Declared
from chassis.nats.jetstream.full_disk import tell_a_full_disk
from chassis.nats.jetstream.messages import Published, Stored, headers_of, stored, stream_of
from chassis.nats.jetstream.replay import Replay
from chassis.nats.jetstream.stream_use import StreamUse, stream_use
from chassis.nats.jetstream.unreadable import UnreadableRecords

_PUBLISHED = metrics.histogram("bus_publish_seconds", "Time until JetStream acknowledged an event", ("event",))


class JetStream:
    """The streams behind one connection.

    Attributes:
        name: The client's name; its inboxes begin with `_INBOX_<name>.`.
        url: Where it is connected to, without password.
        connection: What is known about the connection.
        checks: Readiness: the connection's, that of what was declared, and one of each started consumer.
        unreadable: Where readers report what they cannot read.
    """

    def __init__(self, connection: Connection, *, replicas: int) -> None:
        self.connection = connection
        self.name = connection.name
        self.url = connection.url
        self._declared = Declared(connection, replicas=replicas)
        self.checks: dict[str, Check] = {"nats": connection.check, "streams": self._declared.check}
        self.unreadable = UnreadableRecords(self.publish_raw)

    @property
    def nc(self) -> Client:
        """nats-py's connection."""
        return self.connection.nc

    @property
    def js(self) -> JetStreamContext:
        """nats-py's JetStream context."""
        return self.connection.js

    async def close(self) -> None:
        """Stop making streams and writing dead letters."""
        await self._declared.close()
        await self.unreadable.close()

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
            with self.connection.naming_refusals():
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
            with self.connection.naming_refusals():
                return await publish.publish(
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
            if isinstance(error.__cause__, TimeoutError) and self.connection.is_connected:
                await tell_a_full_disk(self.nc, stream, error, url=self.url)
            raise

    async def last(self, subject: str, *, deadline_s: float = 5.0) -> Stored | None:
        """The last message of a subject or filter, read from the stream's leader.

        Raises:
            BusUnavailable: No answer by the deadline.
        """
        with self.connection.naming_refusals():
            raw = await read.last(self.js, stream_of(subject), subject, deadline_s=deadline_s, url=self.url)
        return None if raw is None else self._stored(raw)

    async def each(self, subject: str, *, deadline_s: float = 5.0) -> list[Stored]:
        """All messages of a subject or filter in stream order, one request each: for a user without direct gets.

        Raises:
            BusUnavailable: Not complete by the deadline.
        """
        with self.connection.naming_refusals():
            found = await read.each(self.js, stream_of(subject), subject, deadline_s=deadline_s, url=self.url)
        return [self._stored(raw) for raw in found]

    async def history(self, session_id: str, *, deadline_s: float = 5.0) -> list[Stored]:
        """All events of one session in stream order, complete up to the call.

        Raises:
            BusUnavailable: Not complete by the deadline.
        """
        with self.connection.naming_refusals():
            found = await read.scan(
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
        with self.connection.naming_refusals():
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
        with self.connection.naming_refusals():
            found = await many.all_of_each(self.nc, stream, newest, deadline_s=deadline_s, url=self.url)
        return [self._stored(raw) for raw in found]

    async def subjects(self, wildcard: str, *, deadline_s: float = 30.0) -> set[str]:
        """The subjects that match this filter and have a message.

        Raises:
            BusUnavailable: Not complete by the deadline.
        """
        with self.connection.naming_refusals():
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

    def _stored(self, raw: read.Raw) -> Stored:
        record = stored(raw.subject, raw.data, seq=raw.seq, at=raw.at, headers=raw.headers)
        if record.unreadable:
            self.unreadable.met(record)
        return record
