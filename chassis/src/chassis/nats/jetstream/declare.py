"""The streams and buckets of one service: declared at its start, and again after the server lost its store."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable
from contextlib import suppress
from dataclasses import replace
from typing import Final

from nats.js.api import StreamConfig

from chassis import logs
from chassis.nats.connection.connection import Connection
from chassis.nats.connection.retry import retried
from chassis.nats.errors import (
    GRANT_IT,
    ApiError,
    BusRefused,
    BusUnavailable,
    Declined,
    NoDisk,
    NoStorage,
    NotFound,
    NotPermitted,
    StreamMissing,
)
from chassis.nats.jetstream.config import SHAPE_KEY, config_of, fit
from chassis.nats.jetstream.state import StreamUse, stream_use
from chassis.tasks import Tasks
from contracts.streams import SHAPE, AnyBucket, BucketSpec, StreamSpec, stream_name

_IN_USE: Final = 10058  # the stream exists with another configuration
_UNCHANGEABLE: Final = 10052
_INSUFFICIENT: Final = (10047, 10023)  # no storage left; no resources, in a cluster also when a server is still away
_OTHERS_BYTES: Final = 64 * 1024**2
_RETRY_S: Final = 0.25
_ASK_S: Final = 1.0
_RESTORE_S: Final = 5.0
_REDECLARE_S: Final = 2.0
_PAUSE_S: Final = 0.5

Spec = StreamSpec | AnyBucket

log = logs.get_logger(__name__)


class Streams:
    """What one service declared.

    Attributes:
        name: The client's name, and the source in each event's headers.
        url: The servers, without credentials.
        connection: The state of the connection.
    """

    def __init__(self, connection: Connection, *, replicas: int) -> None:
        self.connection = connection
        self.name = connection.name
        self.url = connection.url
        self._replicas = replicas
        self._specs: list[Spec] = []
        self._owned: Collection[Spec] | None = None
        self._problem: str | None = None
        self._redeclaring: asyncio.Task[None] | None = None
        connection.on_reconnect(self._reconnected)

    async def ensure(
        self,
        streams: Iterable[StreamSpec] = (),
        buckets: Iterable[AnyBucket] = (),
        *,
        owned: Collection[Spec] | None = None,
        deadline_s: float = 10.0,
    ) -> None:
        """Create these streams and buckets, or update them. Each has its own deadline.

        Args:
            owned: Those that an update may change; the others keep their configuration once they exist. None: all.

        Raises:
            BusUnavailable: Not done by the deadline.
            NoDisk: A new stream does not fit on nats-server's disk.
            BusRefused: Not permitted, or a change that NATS cannot make.
        """
        self._owned = owned
        specs: list[Spec] = [*streams, *buckets]
        for spec in specs:
            await self._declare(spec, deadline_s=deadline_s, may_shrink=True)
        self._specs = [spec for spec in self._specs if spec not in specs] + specs

    def redeclare_soon(self) -> None:
        """Create again, in a task, what is missing; limits of what exists only grow. Runs after each reconnect."""
        if self._redeclaring is None or self._redeclaring.done():
            self._redeclaring = Tasks().spawn(self._redeclare(), name="redeclare streams")

    async def restore(self, bucket: AnyBucket) -> bool:
        """Make a bucket again, empty, if a former version stored it otherwise (memory or file); True if it did.

        Raises:
            BusUnavailable: Not done within 5 s.
            BusRefused: Not permitted.
        """
        config = config_of(bucket, self._replicas)
        doing, js = f"making {config.name} again", self.connection.js
        restored = False

        async def restore() -> None:
            nonlocal restored
            with suppress(NotFound, StreamMissing):
                info = await self.connection.ask(doing, js.stream_info(stream_name(bucket)))
                if info.config.storage == config.storage:
                    return
                await self.connection.ask(doing, js.delete_stream(stream_name(bucket)))
            await self.connection.ask(doing, js.add_stream(config))  # pyright: ignore[reportUnknownMemberType]
            restored = True

        await changed(self.connection, doing, restore, deadline_s=_RESTORE_S)
        return restored

    async def use_of(self, spec: Spec, *, deadline_s: float = 2.0) -> StreamUse:
        """How full the stream or bucket is. One that is missing is declared again in the background.

        Raises:
            StreamMissing: It does not exist now.
            BusUnavailable: No answer by the deadline.
        """
        try:
            return await stream_use(self.connection, stream_name(spec), deadline_s=deadline_s)
        except StreamMissing:
            self.redeclare_soon()
            raise

    async def check_streams(self) -> str | None:
        """Readiness: why a stream or bucket could not be declared again."""
        return self._problem

    async def close(self) -> None:
        if self._redeclaring is not None:
            self._redeclaring.cancel()
            await asyncio.wait({self._redeclaring})

    async def _reconnected(self) -> None:
        self.redeclare_soon()

    async def _redeclare(self) -> None:
        while not self.connection.closed.is_set():
            try:
                for spec in self._specs:
                    await self._declare(spec, deadline_s=_REDECLARE_S, may_shrink=False)
            except (BusUnavailable, BusRefused) as error:
                if self._problem is None:
                    log.error("streams.not_made_again", error=error)
                self._problem = str(error)
            except Exception as error:  # a task that fails unseen would leave the service without streams
                log.exception("streams.make_again_bug")
                self._problem = f"{type(error).__name__}: {error}"
            else:
                if self._problem is not None:
                    log.info("streams.made_again")
                self._problem = None
                return
            await asyncio.sleep(_PAUSE_S)

    async def _declare(self, spec: Spec, *, deadline_s: float, may_shrink: bool) -> None:
        updates = self._owned is None or spec in self._owned
        config = config_of(spec, self._replicas)
        if not updates:
            # Its owner raises the limit: the limit that we would choose might not fit where the owner's does.
            config = replace(config, max_bytes=min(config.max_bytes or 0, _OTHERS_BYTES))
        doing, js = f"declaring {config.name}", self.connection.js

        async def declare() -> None:
            try:
                await self.connection.ask(doing, js.add_stream(config))  # pyright: ignore[reportUnknownMemberType]
            except ApiError as error:
                if error.err_code in _INSUFFICIENT and await self._exists(config.name or ""):
                    _keep_what_no_longer_fits(config, error)
                elif error.err_code != _IN_USE:
                    raise
                elif updates:
                    await self._update(spec, config, may_shrink=may_shrink)
                else:
                    log.info("stream.kept", stream=config.name, reason="another service brings it up to date")

        try:
            await changed(self.connection, doing, declare, deadline_s=deadline_s, final=(NoStorage,))
        except ApiError as error:
            if error.err_code not in _INSUFFICIENT:
                raise
            raise NoDisk(stream_name(spec), spec.max_bytes, error.description, self.url) from error

    async def _update(self, spec: Spec, config: StreamConfig, *, may_shrink: bool) -> None:
        """Bring an existing stream to this configuration unless a newer version made it; no stored message is lost."""
        doing, js = f"updating {config.name}", self.connection.js
        info = await self.connection.ask(doing, js.stream_info(stream_name(spec)))
        shape = int((info.config.metadata or {}).get(SHAPE_KEY, "0"))
        if shape > SHAPE:
            log.info("stream.kept", stream=config.name, reason="a newer version made it", shape=shape)
            return
        present = info.config
        if isinstance(spec, BucketSpec) and spec.ttl_s is None:
            present = replace(present, max_age=config.max_age)  # follows from the TTL of its keys, and discards none
        fitted = fit(config, present, used=info.state.bytes, may_shrink=may_shrink and spec.is_set)
        try:
            await self.connection.ask(doing, js.update_stream(fitted))  # pyright: ignore[reportUnknownMemberType]
        except ApiError as error:
            if error.err_code == _UNCHANGEABLE and info.config.storage != config.storage:
                log.info("stream.kept", stream=config.name, reason="its storage differs until it is recreated")
            elif error.err_code in _INSUFFICIENT:
                _keep_what_no_longer_fits(fitted, error)
            else:
                raise

    async def _exists(self, stream: str) -> bool:
        """Whether the stream exists, by a request that our user may make: some may not ask for a stream's state."""
        js = self.connection.js
        for ask in (lambda: js.stream_info(stream), lambda: js.get_last_msg(stream, ">")):
            try:
                await self.connection.ask(f"looking for {stream}", ask(), _ASK_S)
            except NotFound:
                return True
            except StreamMissing:
                return False
            except BusUnavailable:
                continue
            return True
        return False


def _keep_what_no_longer_fits(config: StreamConfig, error: ApiError) -> None:
    """The disk shrank below what is reserved: the server keeps serving the stream and rejects every change of it."""
    log.error(
        "stream.kept",
        stream=config.name,
        reason=error.description,
        wanted_bytes=config.max_bytes,
        fix="Free disk where nats-server's store_dir is, and restart nats-server.",
    )


async def changed(
    connection: Connection,
    doing: str,
    change: Callable[[], Awaitable[object]],
    *,
    deadline_s: float,
    final: tuple[type[BusUnavailable], ...] = (),
) -> None:
    """Repeat a change of streams or consumers until the server makes it.

    Args:
        change: Each of its requests is in `Connection.asking`.
        final: Errors that a retry cannot mend.

    Raises:
        BusUnavailable: Not done by the deadline.
        BusRefused: Not permitted, or the server rejects it.
    """

    async def attempt(left_s: float) -> None:
        async with connection.asking(doing, left_s):
            await change()

    try:
        await retried(attempt, deadline_s=deadline_s, pause_s=_RETRY_S, final=(NotPermitted, Declined, *final))
    except NotPermitted as error:
        raise BusRefused(f"{doing}: {error.refusal}", connection.url, fix=GRANT_IT) from error
    except Declined as error:
        raise BusRefused(f"{doing}: {error.description}", connection.url) from error
