"""Publishing: the same id again until JetStream has acknowledged it, or until the deadline."""

import time
from collections.abc import Callable
from typing import Final, cast
from uuid import uuid4

from opentelemetry.trace import SpanKind

from chassis import logs, metrics, telemetry
from chassis.nats.connection.connection import Connection
from chassis.nats.connection.retry import retried
from chassis.nats.errors import (
    ApiError,
    BusUnavailable,
    Declined,
    NoReply,
    NoSubscriber,
    NotFound,
    NotPermitted,
    NotStored,
    PublishRefused,
    SequenceConflict,
    StreamFull,
    StreamMissing,
    Unsendable,
)
from chassis.nats.jetstream.declare import Streams
from chassis.nats.jetstream.messages import EXPECT_LAST, MSG_ID, Published, headers_of, stream_of
from chassis.nats.jetstream.state import stream_use
from contracts.events import Event
from contracts.room_events import RoomEvent
from contracts.streams import DEAD, SESSIONS

_WRONG_LAST: Final = (10071, 10164)
_FULL: Final = "maximum bytes exceeded"  # its code, 10077, is that of every failure to store
_ATTEMPT_S: Final = 2.0
_LOOK_S: Final = 0.05  # at least, to see what the stream holds
_FULL_DISK_S: Final = 0.3  # beyond the deadline, to see why a publish failed
_AGAIN: Final = "#"  # separates an id that another message has from our unique suffix
# Several services publish to these streams, under ids that the others can compute.
_SHARED: Final = (SESSIONS.name, DEAD.name)

_PUBLISHED: Final = metrics.histogram("bus_publish_seconds", "Time until JetStream acknowledged an event", ("event",))
_IDS_TAKEN: Final = metrics.counter(
    "bus_message_ids_taken_total", "Events whose message id another subject's message had", ("stream",)
)
_NOT_STORED: Final = metrics.counter(
    "bus_not_stored_total", "Publishes to a stream that answers and stores nothing: a full disk", ("stream",)
)

log = logs.get_logger(__name__)


class Publisher(Streams):
    """Publishes to the streams of one service."""

    async def publish(
        self, event: Event | RoomEvent, *, expect_last: int | None = None, deadline_s: float = 10.0
    ) -> Published:
        """Publish an event once, repeating it with the same id until JetStream has acknowledged it.

        Args:
            expect_last: Sequence that the last message on the event's subject must have; 0: there must be none.

        Raises:
            SequenceConflict: It has another sequence. If it is this very event, that is a success (`duplicate` True).
            PublishRefused: The stream rejects it.
            StreamFull: The stream has reached its maximum size, and discards nothing.
            NotStored: The stream's disk is full.
            NotPermitted: The user may not publish to the event's subject.
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
        """Publish bytes like `publish`; `headers` hold the `Nats-Msg-Id` by which a repetition is recognized."""
        stream = stream or stream_of(subject)
        headers = headers | telemetry.inject()
        if expect_last is not None:
            headers[EXPECT_LAST] = str(expect_last)
        sending = _Sending(self.connection, subject, data, stream, headers, self.redeclare_soon)
        try:
            return await retried(sending.attempt, deadline_s=deadline_s, final=(NotPermitted, StreamFull))
        except NoReply as error:
            if self.connection.is_connected:
                await self._tell_a_full_disk(stream, error)
            raise

    async def _tell_a_full_disk(self, stream: str, error: NoReply) -> None:
        """Raise `NotStored` if the stream answers: with a full disk it ignores each publish, and all else works.

        contracts/users.py permits each user to ask about the streams that it writes.
        """
        try:
            await stream_use(self.connection, stream, deadline_s=_FULL_DISK_S)
        except BusUnavailable:
            return
        _NOT_STORED.labels(stream).inc()
        raise NotStored(error.doing, stream, self.url) from error


class _Sending:
    """One message until its acknowledgement."""

    def __init__(
        self,
        connection: Connection,
        subject: str,
        data: bytes,
        stream: str,
        headers: dict[str, str],
        no_stream: Callable[[], None],
    ) -> None:
        self._connection = connection
        self._subject = subject
        self._data = data
        self._stream = stream
        self._headers = headers
        self._no_stream = no_stream
        self._id = headers[MSG_ID]
        self._doing = f"publishing to {subject}"

    async def attempt(self, left_s: float) -> Published:
        """Send once.

        Raises:
            BusUnavailable: A repetition may help, except after `StreamFull` and `NotPermitted`.
            PublishRefused: The stream rejects it.
            SequenceConflict: The subject's last message is another one, and not this very message.
        """
        until = time.monotonic() + left_s
        publish = self._connection.js.publish(
            self._subject,
            self._data,
            timeout=max(0.01, min(_ATTEMPT_S, left_s)),
            stream=self._stream,
            headers=dict(self._headers),
        )
        try:
            ack = await self._connection.ask(self._doing, publish, subject=self._subject)
        except Unsendable as error:
            raise PublishRefused(self._subject, str(error.__cause__)) from error
        except NoSubscriber:
            self._no_stream()
            raise
        except ApiError as error:
            if error.err_code in _WRONG_LAST:
                return await self._own_or_conflict(left_s)
            if _FULL in error.description:
                raise StreamFull(error.doing, error.url) from error
            if isinstance(error, Declined):
                raise PublishRefused(self._subject, error.description) from error
            raise
        if not ack.duplicate:
            return Published(ack.seq, duplicate=False)
        known = await self._known(ack.seq, until - time.monotonic())
        if known is not None:
            return known
        self._headers[MSG_ID] = f"{self._id}{_AGAIN}{uuid4()}"
        return await self.attempt(until - time.monotonic())

    async def _known(self, seq: int, left_s: float) -> Published | None:
        """The stored message that has our id; None when it is on another subject and ours is not stored.

        A stream remembers ids for all its subjects together, so a service that may publish to one of them could
        suppress an event whose id it can compute.
        """
        if self._stream not in _SHARED:
            return Published(seq, duplicate=True)
        try:
            get = self._connection.js.get_msg(self._stream, seq)
            holder = await self._connection.ask(self._doing, get, max(_LOOK_S, left_s), subject=self._subject)
            if holder.subject == self._subject:
                return Published(seq, duplicate=True)
            _IDS_TAKEN.labels(self._stream).inc()
            log.error("bus.message_id_taken", subject=self._subject, holder=holder.subject, seq=seq)
            return await self._own_or_conflict(left_s)
        except (NotFound, StreamMissing):  # gone meanwhile
            return Published(seq, duplicate=True)
        except SequenceConflict:
            return None

    async def _own_or_conflict(self, left_s: float) -> Published:
        """The server checks the sequence before the id: after a lost acknowledgement a repetition is a conflict."""
        try:
            get = self._connection.js.get_last_msg(self._stream, self._subject)
            last = await self._connection.ask(self._doing, get, max(_LOOK_S, left_s), subject=self._subject)
        except NotFound:
            raise SequenceConflict(self._subject, 0, None) from None
        headers = cast("dict[str, str]", last.headers or {})  # pyright: ignore[reportUnknownMemberType]
        last_id = headers[MSG_ID].partition(_AGAIN)[0] if MSG_ID in headers else None
        if last_id == self._id:
            return Published(last.seq or 0, duplicate=True)
        raise SequenceConflict(self._subject, last.seq or 0, last_id)
