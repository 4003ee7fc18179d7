"""Turns the contracts' streams and buckets into NATS configuration, and makes them so."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Iterable
from dataclasses import replace
from typing import Final

import nats.errors
from contracts.streams import SHAPE, BucketSpec, StreamSpec, stream_name
from nats.js import JetStreamContext
from nats.js.api import DiscardPolicy, RetentionPolicy, StorageType, StreamConfig
from nats.js.errors import APIError, NotFoundError

from chassis import logs
from chassis.nats.connection.connection import Connection
from chassis.nats.errors import GRANT_IT, BusRefused, BusUnavailable, NoDisk
from chassis.nats.jetstream.stream_use import STREAM_NOT_FOUND

_IN_USE: Final = 10058  # the stream exists with another configuration
_UNCHANGEABLE: Final = 10052
_NO_STORAGE: Final = (10047, 10023)  # the bounds of all streams are reserved, and that is more than there is
_OTHERS_BYTES: Final = 64 * 1024**2
_SHAPE: Final = "greenroom-shape"
_MARKER_TTL_S: Final = 60
_MAX_DUPLICATE_WINDOW_S: Final = 120
_RETRY_S: Final = 0.25
_ASK_S: Final = 1.0
_RESTORE_S: Final = 5.0
_MAX_VALUE: Final = 512 * 1024

log = logs.get_logger(__name__)


def stream_config(spec: StreamSpec, replicas: int) -> StreamConfig:
    """A stream's configuration: in files, the oldest messages go first."""
    return StreamConfig(
        name=spec.name,
        subjects=list(spec.subjects),
        retention=RetentionPolicy.LIMITS,
        storage=StorageType.FILE,
        discard=DiscardPolicy.OLD,
        max_age=spec.max_age_s,
        max_bytes=spec.max_bytes,
        max_msg_size=spec.max_msg_size,
        duplicate_window=spec.duplicate_window_s,
        allow_direct=True,
        deny_delete=spec.append_only,
        deny_purge=spec.append_only,
        num_replicas=replicas,
        metadata={_SHAPE: str(SHAPE)},
    )


def bucket_config(spec: BucketSpec, replicas: int) -> StreamConfig:
    """A bucket's stream, as NATS' key-value stores are laid out; keys may carry a TTL."""
    # A server that was killed brings values back whose TTL is over, for as long as 250 ms: until it looks at the TTLs
    # again. By age it drops them before it serves. Younger ones are still superseded by their marker.
    max_age_s = spec.ttl_s or (_MARKER_TTL_S if spec.key_ttl_s else 0)
    return StreamConfig(
        name=stream_name(spec),
        subjects=[f"$KV.{spec.name}.>"],
        storage=StorageType.MEMORY if spec.in_memory else StorageType.FILE,
        discard=DiscardPolicy.NEW,
        max_age=max_age_s,
        max_bytes=spec.max_bytes,
        max_msg_size=_MAX_VALUE,
        max_msgs_per_subject=1,
        duplicate_window=min(max_age_s or _MAX_DUPLICATE_WINDOW_S, _MAX_DUPLICATE_WINDOW_S),
        allow_rollup_hdrs=True,
        allow_direct=True,
        allow_msg_ttl=True,
        deny_delete=True,
        subject_delete_marker_ttl=_MARKER_TTL_S if spec.markers else None,
        num_replicas=replicas,
        metadata={_SHAPE: str(SHAPE)},
    )


async def ensure(
    js: JetStreamContext,
    streams: Iterable[StreamSpec],
    buckets: Iterable[BucketSpec],
    *,
    owned: Collection[StreamSpec | BucketSpec] | None,
    replicas: int,
    deadline_s: float,
    connection: Connection,
    may_shrink: bool = True,
) -> None:
    """Create each stream and bucket, or update it.

    Args:
        owned: Those to update when they exist with another configuration; the others stay as they are. None: all.
        may_shrink: Whether a bound that the operator chose may be below the present one.

    Raises:
        BusUnavailable: It could not be done by the deadline.
        NoDisk: A new stream does not fit on nats-server's disk.
        BusRefused: NATS will never do it: not permitted, or a change that it does not make.
    """
    configs = [(s, stream_config(s, replicas)) for s in streams] + [(b, bucket_config(b, replicas)) for b in buckets]
    for spec, config in configs:

        async def declare(spec: StreamSpec | BucketSpec = spec, config: StreamConfig = config) -> None:
            updates = owned is None or spec in owned
            if not updates:
                # Its owner raises the bound: one that we would choose might not fit where the owner's does.
                config = replace(config, max_bytes=min(config.max_bytes or 0, _OTHERS_BYTES))
            try:
                await js.add_stream(config)  # pyright: ignore[reportUnknownMemberType]
            except APIError as error:
                if error.err_code in _NO_STORAGE and await _exists(js, stream_name(spec)):
                    _keep_what_fits_no_more(config, error)
                    return
                if error.err_code != _IN_USE:
                    raise
                if not updates:
                    log.info("stream.kept", stream=config.name, reason="another service brings it up to date")
                    return
                await _update(js, spec, config, may_shrink=may_shrink)

        await retried(
            declare,
            what=f"declaring {config.name}",
            deadline_s=deadline_s,
            connection=connection,
            no_disk=lambda reason, spec=spec: NoDisk(stream_name(spec), spec.max_bytes, reason, connection.url),
        )


async def _update(
    js: JetStreamContext, spec: StreamSpec | BucketSpec, config: StreamConfig, *, may_shrink: bool
) -> None:
    """Bring an existing stream to this shape, unless a newer version made it; nothing stored is lost by it."""
    info = await js.stream_info(stream_name(spec))
    shape = int((info.config.metadata or {}).get(_SHAPE, "0"))
    if shape > SHAPE:
        log.info("stream.kept", stream=config.name, reason="a newer version made it", shape=shape)
        return
    present = info.config
    if isinstance(spec, BucketSpec) and spec.ttl_s is None:
        present = replace(present, max_age=config.max_age)  # follows from the TTL of its keys, and loses none
    fitted = fit(config, present, used=info.state.bytes, may_shrink=may_shrink and spec.is_set)
    try:
        await js.update_stream(fitted)  # pyright: ignore[reportUnknownMemberType]
    except APIError as error:
        if error.err_code == _UNCHANGEABLE and info.config.storage != config.storage:
            log.info("stream.kept", stream=config.name, reason="it is stored otherwise, until it is made anew")
        elif error.err_code in _NO_STORAGE:
            _keep_what_fits_no_more(fitted, error)
        else:
            raise


def _keep_what_fits_no_more(config: StreamConfig, error: APIError) -> None:
    """The disk shrank under what is reserved: the server goes on with it, and refuses every change, also a smaller
    bound, and to declare it as it is.
    """
    log.error(
        "stream.kept",
        stream=config.name,
        reason=error.description,
        wanted_bytes=config.max_bytes,
        fix="Free disk where nats-server's store_dir is, and restart nats-server.",
    )


async def _exists(js: JetStreamContext, stream: str) -> bool:
    """Whether the stream is there, by what our user may ask: some may not ask for a stream's state."""
    for ask in (lambda: js.stream_info(stream), lambda: js.get_last_msg(stream, ">")):
        try:
            async with asyncio.timeout(_ASK_S):
                await ask()
            return True
        except NotFoundError as error:
            return error.err_code != STREAM_NOT_FOUND
        except (nats.errors.Error, TimeoutError):
            continue
    return False


def fit(wanted: StreamConfig, present: StreamConfig, *, used: int, may_shrink: bool) -> StreamConfig:
    """The wanted configuration with the bounds that lose nothing of what a present stream holds.

    Without the operator's word the larger bound and the longer age win, so that two versions side by side, each with
    its own defaults, come to the same.

    Args:
        used: Bytes that the stream holds now.
        may_shrink: The operator chose these bounds.
    """
    present_bytes, present_age_s = present.max_bytes or -1, present.max_age or 0
    if may_shrink:
        return replace(wanted, max_bytes=max(wanted.max_bytes or 0, used))
    if present_bytes <= 0:  # it has no bound: the first one must not cut it
        present_bytes = used
    age_s = 0 if present_age_s == 0 or not wanted.max_age else max(wanted.max_age, present_age_s)
    return replace(wanted, max_bytes=max(wanted.max_bytes or 0, present_bytes), max_age=age_s)


async def restore(js: JetStreamContext, spec: BucketSpec, replicas: int, connection: Connection) -> bool:
    """Make a bucket anew, empty, if it is not stored as it should be: that cannot be changed. True: it was.

    Raises:
        BusUnavailable: It could not be done.
        BusRefused: It is not permitted.
    """
    config = bucket_config(spec, replicas)
    done = False

    async def make_anew() -> None:
        nonlocal done
        try:
            if (await js.stream_info(stream_name(spec))).config.storage == config.storage:
                return
            await js.delete_stream(stream_name(spec))
        except NotFoundError:
            pass
        await js.add_stream(config)  # pyright: ignore[reportUnknownMemberType]
        done = True

    await retried(make_anew, what=f"making {config.name} anew", deadline_s=_RESTORE_S, connection=connection)
    return done


async def retried(
    call: Callable[[], Awaitable[object]],
    *,
    what: str,
    deadline_s: float,
    connection: Connection,
    no_disk: Callable[[str], NoDisk] | None = None,
) -> None:
    """Repeat a call to JetStream until it succeeds.

    Args:
        no_disk: The error for what does not fit on the server's disk.

    Raises:
        BusUnavailable: It did not by the deadline.
        BusRefused: It cannot.
    """
    url, refusals = connection.url, connection.refusals
    until = time.monotonic() + deadline_s
    while True:
        try:
            async with asyncio.timeout_at(asyncio.get_running_loop().time() + max(0.0, until - time.monotonic())):
                await call()
            return
        except (nats.errors.Error, TimeoutError) as error:
            # The server says so beside the call, which only waits for a reply that never comes.
            if (refusal := connection.refusal_since(refusals)) is not None:
                raise BusRefused(f"{what}: {refusal}", url, fix=GRANT_IT) from error
            final = time.monotonic() + _RETRY_S >= until
            # In a cluster "insufficient resources" may also mean that a server is still away.
            lacks_disk = isinstance(error, APIError) and error.err_code in (_NO_STORAGE if final else _NO_STORAGE[:1])
            if no_disk and lacks_disk:
                raise no_disk(str(error)) from error
            if isinstance(error, APIError) and (error.code or 500) < 500:
                raise BusRefused(f"{what}: {error.description}", url) from error
            if isinstance(error, nats.errors.ConnectionClosedError) or final:
                raise BusUnavailable(f"{what}: {str(error) or 'no reply'}", url) from error
            await asyncio.sleep(_RETRY_S)
