"""Reading a stream in order from a position, through every restart of the server."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Final, TypedDict, Unpack

from nats.aio.msg import Msg
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy

from chassis import logs
from chassis.nats.connection.connection import Connection
from chassis.nats.errors import BusClosed, BusUnavailable, NoReply, NotFound, StreamMissing
from chassis.nats.jetstream.messages import Stored, stored
from chassis.nats.jetstream.pull import Pull

_REPAIR_S: Final = 0.25
_IDLE_S: Final = 60.0  # how long the server keeps the consumer of a reader that is away
_ANSWER_S: Final = 2.0

log = logs.get_logger(__name__)


class ReplayOptions(TypedDict, total=False):
    """What to read.

    Attributes:
        since: The first sequence to read, or the time it was stored at or after; None begins with the oldest.
        last_per_subject: Begin with the last message of each subject.
        until_caught_up: End once everything stored has been read; else go on with what comes.
        wants: Which messages, by their subject; the others are not parsed.
    """

    since: int | datetime | None
    last_per_subject: bool
    until_caught_up: bool
    wants: Callable[[str], bool] | None


class Replay:
    """An ordered reader of one stream: `async for stored in replay`.

    It repairs itself: when its consumer or the connection is lost, or a delivery has a gap, it reads on after the last
    message that it yielded. It never ends by itself unless `until_caught_up`.

    Attributes:
        position: Sequence of the last message that was yielded and dealt with; 0 for none.
        caught_up: Set once everything that the stream held has been yielded and dealt with.
    """

    def __init__(
        self,
        connection: Connection,
        stream: str,
        filters: Sequence[str],
        unreadable: Callable[[Stored], None],
        **options: Unpack[ReplayOptions],
    ) -> None:
        self.position = 0
        self.caught_up = asyncio.Event()
        self._connection = connection
        self._stream = stream
        self._filters = list(filters)
        self._unreadable = unreadable
        self._options = options
        since = options.get("since")
        self._next: int | None = since if isinstance(since, int) else None
        self._pull: Pull | None = None
        self._delivered = 0  # the consumer's own count, in which a gap shows
        self._pending = 0
        self._created: datetime | None = None  # when the stream that we read from was made

    async def __aiter__(self) -> AsyncIterator[Stored]:
        async with aclosing(self.batches()) as batches:
            async for batch in batches:
                for record in batch:
                    yield record
                    self._dealt_with(record.seq)

    async def batches(self) -> AsyncGenerator[list[Stored]]:
        """The messages that came since the last batch, in order; an empty list if `wants` left out all of them.

        Raises:
            BusClosed: The connection is closed for good.
        """
        until_caught_up = self._options.get("until_caught_up", False)
        try:
            while True:
                if self._pull is None and not await self._open(may_be_empty=until_caught_up):
                    await asyncio.sleep(_REPAIR_S)
                    continue
                if self._pending == 0:
                    self.caught_up.set()
                    if until_caught_up:
                        return
                messages = await self._take()
                if messages:
                    through = messages[-1].metadata.sequence.stream
                    yield self._read(messages)
                    self._dealt_with(through)
        finally:
            await self._close()

    def _dealt_with(self, seq: int) -> None:
        self.position = seq
        self._next = seq + 1

    def _read(self, messages: Sequence[Msg]) -> list[Stored]:
        wants = self._options.get("wants")
        found: list[Stored] = []
        for message in messages:
            if wants is not None and not wants(message.subject):
                continue
            metadata = message.metadata
            record = stored(
                message.subject,
                message.data,
                seq=metadata.sequence.stream,
                at=metadata.timestamp,
                headers=message.headers,
                pending=metadata.num_pending,
            )
            if record.unreadable:
                self._unreadable(record)
            found.append(record)
        return found

    async def _take(self) -> list[Msg]:
        """The next messages without a gap; none after a repair, and when nothing came."""
        assert self._pull is not None
        try:
            came = await self._pull.take()
        except BusClosed:
            raise
        except BusUnavailable:
            await asyncio.sleep(_REPAIR_S)
            return []
        messages: list[Msg] = []
        for message in came:
            metadata = message.metadata
            if metadata.sequence.consumer != self._delivered + 1:
                log.warning("replay.gap", stream=self._stream, position=self.position)
                await self._close()
                return messages
            self._delivered += 1
            self._pending = metadata.num_pending
            messages.append(message)
        if not messages and (self._pull.is_gone or await self._has_missed()):
            await self._close()
            await asyncio.sleep(_REPAIR_S)  # bounds the rate of repairs
        return messages

    async def _has_missed(self) -> bool:
        """Whether the server has sent messages that were lost with a connection, and no gap shows yet.

        The consumer has one copy, on one server of the cluster. While that server is frozen it does not answer,
        although we are connected; then the reader makes another consumer, which another server hosts.
        """
        assert self._pull is not None
        try:
            async with self._connection.asking(f"reading {self._stream}", _ANSWER_S):
                info = await self._pull.info()
        except BusClosed:
            raise
        except (NotFound, StreamMissing):
            return True
        except NoReply:
            log.warning("replay.silent", stream=self._stream, position=self.position)
            return self._connection.nc.is_connected
        except BusUnavailable:
            return False  # no connection: the next round asks again
        self._pending = info.num_pending or 0
        return info.delivered is not None and info.delivered.consumer_seq > self._delivered

    async def _open(self, *, may_be_empty: bool) -> bool:
        try:
            if self._next is not None or not may_be_empty:
                await self._notice_another_stream()
            pull = self._pull = Pull(self._connection, self._stream, self._config())
            consumer = await pull.open()
        except BusClosed:
            raise
        except BusUnavailable as error:
            log.warning("replay.waiting", stream=self._stream, error=error)
            await self._close()
            return False
        self._delivered = 0
        self._pending = consumer.num_pending or 0
        return True

    async def _notice_another_stream(self) -> None:
        """Begin at the oldest message of a stream that was made again; it may have grown past our position already."""
        stream_info = self._connection.js.stream_info(self._stream)
        info = await self._connection.ask(f"reading {self._stream}", stream_info)
        is_another = self._created not in (None, info.created)
        self._created = info.created
        if self._next is not None and (is_another or self._next > info.state.last_seq + 1):
            log.error("replay.stream_was_reset", stream=self._stream, position=self._next - 1)
            self._next = 1

    def _config(self) -> ConsumerConfig:
        since = self._options.get("since")
        config = ConsumerConfig(
            ack_policy=AckPolicy.NONE,
            filter_subjects=self._filters,
            inactive_threshold=_IDLE_S,
            mem_storage=True,
            num_replicas=1,
        )
        if self._next is not None:
            config.deliver_policy = DeliverPolicy.BY_START_SEQUENCE
            config.opt_start_seq = max(1, self._next)
        elif isinstance(since, datetime):
            config.deliver_policy = DeliverPolicy.BY_START_TIME
            config.opt_start_time = since.astimezone(UTC)
        elif self._options.get("last_per_subject"):
            config.deliver_policy = DeliverPolicy.LAST_PER_SUBJECT
        return config

    async def _close(self) -> None:
        pull, self._pull = self._pull, None
        if pull is not None:
            await pull.close()
