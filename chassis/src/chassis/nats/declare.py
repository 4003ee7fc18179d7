"""Turns the contracts' streams and buckets into NATS configuration, and makes them so."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Iterable
from typing import Final

import nats.errors
from contracts.streams import BucketSpec, StreamSpec
from nats.js import JetStreamContext
from nats.js.api import DiscardPolicy, RetentionPolicy, StorageType, StreamConfig
from nats.js.errors import APIError, BadRequestError

from chassis import logs
from chassis.nats.connection import Connection
from chassis.nats.errors import GRANT_IT, MORE_DISK, BusRefused, BusUnavailable

_IN_USE: Final = 10058  # the stream exists with another configuration
_NO_STORAGE: Final = 10047  # the bounds of all streams are reserved, and that is more than there is
_MARKER_TTL_S: Final = 60
_MAX_DUPLICATE_WINDOW_S: Final = 120
_RETRY_S: Final = 0.25
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
    )


def bucket_config(spec: BucketSpec, replicas: int) -> StreamConfig:
    """A bucket's stream, as NATS' key-value stores are laid out; keys may carry a TTL."""
    return StreamConfig(
        name=bucket_stream(spec.name),
        subjects=[f"$KV.{spec.name}.>"],
        storage=StorageType.FILE,
        discard=DiscardPolicy.NEW,
        max_age=spec.ttl_s or 0,
        max_bytes=spec.max_bytes,
        max_msg_size=_MAX_VALUE,
        max_msgs_per_subject=1,
        duplicate_window=min(spec.ttl_s or _MAX_DUPLICATE_WINDOW_S, _MAX_DUPLICATE_WINDOW_S),
        allow_rollup_hdrs=True,
        allow_direct=True,
        allow_msg_ttl=True,
        deny_delete=True,
        subject_delete_marker_ttl=_MARKER_TTL_S if spec.markers else None,
        num_replicas=replicas,
    )


def bucket_stream(bucket: str) -> str:
    """The stream behind a bucket."""
    return f"KV_{bucket}"


async def ensure(
    js: JetStreamContext,
    streams: Iterable[StreamSpec],
    buckets: Iterable[BucketSpec],
    *,
    owned: Collection[StreamSpec | BucketSpec] | None,
    replicas: int,
    deadline_s: float,
    connection: Connection,
) -> None:
    """Create each stream and bucket, or update it.

    Args:
        owned: Those to update when they exist with another configuration; the others stay as they are. None: all.

    Raises:
        BusUnavailable: It could not be done by the deadline.
        BusRefused: NATS will never do it: not permitted, or a change that it does not make.
    """
    configs = [(s, stream_config(s, replicas)) for s in streams] + [(b, bucket_config(b, replicas)) for b in buckets]
    for spec, config in configs:

        async def declare(config: StreamConfig = config, *, updates: bool = owned is None or spec in owned) -> None:
            try:
                await js.add_stream(config)  # pyright: ignore[reportUnknownMemberType]
            except BadRequestError as error:
                if error.err_code != _IN_USE:
                    raise
                if not updates:
                    log.info("stream.kept", stream=config.name, reason="another service brings it up to date")
                    return
                await js.update_stream(config)  # pyright: ignore[reportUnknownMemberType]

        await retried(declare, what=f"declaring {config.name}", deadline_s=deadline_s, connection=connection)


async def retried(
    call: Callable[[], Awaitable[object]], *, what: str, deadline_s: float, connection: Connection
) -> None:
    """Repeat a call to JetStream until it succeeds.

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
            if isinstance(error, APIError) and error.err_code == _NO_STORAGE:
                raise BusRefused(f"{what}: {error.description}", url, fix=MORE_DISK) from error
            if isinstance(error, APIError) and (error.code or 500) < 500:
                raise BusRefused(f"{what}: {error.description}", url) from error
            if isinstance(error, nats.errors.ConnectionClosedError) or time.monotonic() + _RETRY_S >= until:
                raise BusUnavailable(f"{what}: {str(error) or 'no reply'}", url) from error
            await asyncio.sleep(_RETRY_S)
