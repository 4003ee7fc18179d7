"""Reading a stream in order from a position, through every restart of the server."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, datetime
from typing import Final

import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy
from nats.js.errors import APIError, NotFoundError

from chassis import logs
from chassis.nats.messages import Stored, stored

_FETCH_S: Final = 2.0
_BATCH: Final = 256
_REPAIR_S: Final = 0.25
_DELETE: Final = "$JS.API.CONSUMER.DELETE"
_IDLE_S: Final = 60.0  # how long the server keeps the place of a reader that is away

log = logs.get_logger(__name__)


class Replay:
    """An ordered reader of one stream: `async for stored in replay`.

    It repairs itself: when its consumer or the connection goes, it reads on behind the last message it gave out, and a
    gap in the deliveries makes it start anew there. It never ends by itself unless `until_caught_up`.

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
        inbox: bytes,
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
        self._inbox = inbox
        self._unreadable = unreadable
        self._next: int | None = since if isinstance(since, int) else None
        self._sub: JetStreamContext.PullSubscription | None = None
        self._consumer: str | None = None
        self._delivered = 0  # the consumer's own count, in which a gap shows
        self._pending = 0
        self._created: datetime | None = None  # when the stream that we read from was made

    async def __aiter__(self) -> AsyncIterator[Stored]:
        try:
            while True:
                if self._sub is None and not await self._open():
                    await asyncio.sleep(_REPAIR_S)
                    continue
                if self._pending == 0:
                    self.caught_up.set()
                    if self._until_caught_up:
                        return
                for message in await self._fetch():
                    metadata = message.metadata
                    if metadata.sequence.consumer != self._delivered + 1:
                        log.warning("replay.gap", stream=self._stream, position=self.position)
                        await self._close()
                        break
                    self._delivered += 1
                    self._pending = metadata.num_pending
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
                    yield record
                    self.position = metadata.sequence.stream
                    self._next = self.position + 1
        finally:
            await self._close()

    async def _fetch(self) -> list[Msg]:
        assert self._sub is not None
        # A batch waits until it is full, so ask for no more than there is.
        batch = max(1, min(_BATCH, self._pending))
        started = time.monotonic()
        try:
            return await self._sub.fetch(batch, timeout=_FETCH_S)
        except nats.errors.ConnectionClosedError:
            raise
        except (nats.errors.Error, TimeoutError) as error:
            gone = isinstance(error, APIError)  # the consumer: a restart, or a long absence
        if time.monotonic() - started < _REPAIR_S:
            await asyncio.sleep(_REPAIR_S)  # what comes back at once must not turn into a spin
        if gone or await self._has_missed():
            await self._close()
        return []

    async def _has_missed(self) -> bool:
        """Whether the server has sent us something that never came: lost with a connection, and no gap shows yet.

        The consumer has one copy, on one server of the cluster. While that server is frozen it does not answer,
        although we are connected; then the reader makes another consumer, which the others host.
        """
        assert self._sub is not None
        try:
            async with asyncio.timeout(_FETCH_S):
                info = await self._sub.consumer_info()
        except NotFoundError:
            return True
        except TimeoutError:
            log.warning("replay.silent", stream=self._stream, position=self.position)
            return self._nc.is_connected
        except nats.errors.Error:
            return False  # no connection: asked again after the next fetch
        self._pending = info.num_pending or 0
        return info.delivered is not None and info.delivered.consumer_seq > self._delivered

    async def _open(self) -> bool:
        try:
            if self._next is not None or not self._until_caught_up:
                info = await self._js.stream_info(self._stream)
                # A stream made anew may have grown past our position already.
                is_another = self._created not in (None, info.created)
                self._created = info.created
                if self._next is not None and (is_another or self._next > info.state.last_seq + 1):
                    log.error("replay.stream_was_reset", stream=self._stream, position=self._next - 1)
                    self._next = 1
            self._sub = await self._js.pull_subscribe(
                "", stream=self._stream, config=self._config(), inbox_prefix=self._inbox
            )
            info = await self._sub.consumer_info()
        except nats.errors.ConnectionClosedError:
            raise
        except (nats.errors.Error, TimeoutError) as error:
            log.warning("replay.waiting", stream=self._stream, error=error)
            await self._close()
            return False
        self._consumer = info.name
        self._delivered = 0
        self._pending = info.num_pending or 0
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
        sub, self._sub = self._sub, None
        consumer, self._consumer = self._consumer, None
        try:
            if sub is not None:
                await sub.unsubscribe()
            if consumer is not None:
                # Without waiting for the answer: what the server does not hear of, it drops after the idle time.
                await self._nc.publish(f"{_DELETE}.{self._stream}.{consumer}")
        except nats.errors.Error:
            return
