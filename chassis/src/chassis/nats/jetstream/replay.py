"""Reading a stream in order from a position, through every restart of the server."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Final

import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy
from nats.js.errors import NotFoundError

from chassis import logs
from chassis.nats.jetstream.messages import Stored, stored
from chassis.nats.jetstream.pull import Pull

_REPAIR_S: Final = 0.25
_IDLE_S: Final = 60.0  # how long the server keeps the place of a reader that is away
_ANSWER_S: Final = 2.0

log = logs.get_logger(__name__)


class Replay:
    """An ordered reader of one stream: `async for stored in replay`.

    It repairs itself: when its consumer or the connection goes, it reads on behind the last message it gave out, and a
    gap in the deliveries makes it start again there. It never ends by itself unless `until_caught_up`.

    Attributes:
        position: Sequence of the last message that was given out and came back for the next; 0 for none.
        caught_up: Set once everything that the stream held has been handed out and dealt with.
    """

    def __init__(
        self,
        nc: Client,
        js: JetStreamContext,
        stream: str,
        filters: Sequence[str],
        *,
        since: int | datetime | None = None,
        last_per_subject: bool = False,
        until_caught_up: bool = False,
        wants: Callable[[str], bool] | None = None,
        unreadable: Callable[[Stored], None],
    ) -> None:
        self.position = 0
        self.caught_up = asyncio.Event()
        self._nc = nc
        self._js = js
        self._stream = stream
        self._filters = list(filters)
        self._since = since
        self._last_per_subject = last_per_subject
        self._until_caught_up = until_caught_up
        self._wants = wants
        self._unreadable = unreadable
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
                    self._came_back(record.seq)

    async def batches(self) -> AsyncGenerator[list[Stored]]:
        """What has come since the last time, in order; empty where only messages came that `wants` left out."""
        try:
            while True:
                if self._pull is None and not await self._open():
                    await asyncio.sleep(_REPAIR_S)
                    continue
                if self._pending == 0:
                    self.caught_up.set()
                    if self._until_caught_up:
                        return
                messages = await self._take()
                if messages:
                    through = messages[-1].metadata.sequence.stream
                    yield self._read(messages)
                    self._came_back(through)
        finally:
            await self._close()

    def _came_back(self, seq: int) -> None:
        self.position = seq
        self._next = seq + 1

    def _read(self, messages: Sequence[Msg]) -> list[Stored]:
        found: list[Stored] = []
        for message in messages:
            if self._wants is not None and not self._wants(message.subject):
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
        """The next messages without a gap; none when there was something to repair, or nothing to read."""
        assert self._pull is not None
        try:
            came = await self._pull.take()
        except nats.errors.ConnectionClosedError:
            raise
        except (nats.errors.Error, TimeoutError):
            await asyncio.sleep(_REPAIR_S)  # no connection
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
            await asyncio.sleep(_REPAIR_S)  # what comes back at once must not turn into a spin
        return messages

    async def _has_missed(self) -> bool:
        """Whether the server has sent us something that never came: lost with a connection, and no gap shows yet.

        The consumer has one copy, on one server of the cluster. While that server is frozen it does not answer,
        although we are connected; then the reader makes another consumer, which the others host.
        """
        assert self._pull is not None
        try:
            async with asyncio.timeout(_ANSWER_S):
                info = await self._pull.info()
        except NotFoundError:
            return True
        except nats.errors.ConnectionClosedError:
            raise
        except TimeoutError:
            log.warning("replay.silent", stream=self._stream, position=self.position)
            return self._nc.is_connected
        except nats.errors.Error:
            return False  # no connection: asked again later
        self._pending = info.num_pending or 0
        return info.delivered is not None and info.delivered.consumer_seq > self._delivered

    async def _open(self) -> bool:
        pull = self._pull = Pull(self._nc, self._js, self._stream, self._config())
        try:
            if self._next is not None or not self._until_caught_up:
                info = await self._js.stream_info(self._stream)
                # A stream made anew may have grown past our position already.
                is_another = self._created not in (None, info.created)
                self._created = info.created
                if self._next is not None and (is_another or self._next > info.state.last_seq + 1):
                    log.error("replay.stream_was_reset", stream=self._stream, position=self._next - 1)
                    self._next = 1
                    pull = self._pull = Pull(self._nc, self._js, self._stream, self._config())
            consumer = await pull.open()
        except nats.errors.ConnectionClosedError:
            raise
        except (nats.errors.Error, TimeoutError) as error:
            log.warning("replay.waiting", stream=self._stream, error=error)
            await self._close()
            return False
        self._delivered = 0
        self._pending = consumer.num_pending or 0
        return True

    def _config(self) -> ConsumerConfig:
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
        elif isinstance(self._since, datetime):
            config.deliver_policy = DeliverPolicy.BY_START_TIME
            config.opt_start_time = self._since.astimezone(UTC)
        elif self._last_per_subject:
            config.deliver_policy = DeliverPolicy.LAST_PER_SUBJECT
        return config

    async def _close(self) -> None:
        pull, self._pull = self._pull, None
        if pull is not None:
            await pull.close()
