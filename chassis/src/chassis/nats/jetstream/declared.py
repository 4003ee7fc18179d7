"""What one service declared, made again after the server lost it."""

import asyncio
from collections.abc import Collection, Iterable
from typing import Final

from contracts.streams import BucketSpec, StreamSpec

from chassis import logs
from chassis.nats.connection.connection import Connection
from chassis.nats.errors import BusRefused, BusUnavailable
from chassis.nats.jetstream import declare

_AGAIN_S: Final = 2.0
_PAUSE_S: Final = 0.5

log = logs.get_logger(__name__)


class Declared:
    """The streams and buckets of one bus. A server that comes back may have lost them all with its store."""

    def __init__(self, connection: Connection, *, replicas: int) -> None:
        self._connection = connection
        self._replicas = replicas
        self._streams: list[StreamSpec] = []
        self._buckets: list[BucketSpec] = []
        self._owned: Collection[StreamSpec | BucketSpec] | None = None
        self._problem: str | None = None
        self._making: asyncio.Task[None] | None = None
        connection.on_reconnect(self._reconnected)

    async def ensure(
        self,
        streams: Iterable[StreamSpec],
        buckets: Iterable[BucketSpec],
        *,
        owned: Collection[StreamSpec | BucketSpec] | None,
        deadline_s: float,
    ) -> None:
        """Create these or bring them to this shape, and remember them; see `declare.ensure`."""
        new_streams, new_buckets = list(streams), list(buckets)
        self._owned = owned
        await self._declare(new_streams, new_buckets, deadline_s=deadline_s, may_shrink=True)
        self._streams = [s for s in self._streams if s not in new_streams] + new_streams
        self._buckets = [b for b in self._buckets if b not in new_buckets] + new_buckets

    async def again(self) -> None:
        """Make again what is missing, and change no bound of what is there but to raise it."""
        await self._declare(self._streams, self._buckets, deadline_s=_AGAIN_S, may_shrink=False)

    async def restore(self, bucket: BucketSpec) -> bool:
        """Make a bucket anew if it is stored otherwise; see `declare.restore`."""
        return await declare.restore(self._connection.js, bucket, self._replicas, self._connection)

    def make_again(self) -> None:
        """Begin to make again what is missing, until it is done; once, however often it is asked for."""
        if self._making is None or self._making.done():
            self._making = asyncio.get_running_loop().create_task(self._make_again(), name="streams again")

    async def close(self) -> None:
        """Stop making."""
        if self._making is not None:
            self._making.cancel()
            await asyncio.wait({self._making})

    async def check(self) -> str | None:
        """Why this service is not ready: NATS did not let it make again what it needs."""
        return self._problem

    async def _reconnected(self) -> None:
        self.make_again()

    async def _make_again(self) -> None:
        while not self._connection.closed.is_set():
            try:
                await self.again()
            except (BusUnavailable, BusRefused) as error:
                if self._problem is None:
                    log.error("streams.not_made_again", error=error)
                self._problem = str(error)
                await asyncio.sleep(_PAUSE_S)
            except Exception as error:  # a task that fails unseen would leave us without streams
                log.exception("streams.make_again_bug")
                self._problem = f"{type(error).__name__}: {error}"
                await asyncio.sleep(_PAUSE_S)
            else:
                if self._problem is not None:
                    log.info("streams.made_again")
                self._problem = None
                return

    async def _declare(
        self, streams: list[StreamSpec], buckets: list[BucketSpec], *, deadline_s: float, may_shrink: bool
    ) -> None:
        await declare.ensure(
            self._connection.js,
            streams,
            buckets,
            owned=self._owned,
            replicas=self._replicas,
            deadline_s=deadline_s,
            connection=self._connection,
            may_shrink=may_shrink,
        )
