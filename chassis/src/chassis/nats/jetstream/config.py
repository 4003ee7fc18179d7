"""The contracts' streams and buckets as NATS configuration."""

from dataclasses import replace
from typing import Final

from nats.js.api import DiscardPolicy, RetentionPolicy, StorageType, StreamConfig

from contracts.streams import SHAPE, AnyBucket, StreamSpec, stream_name

SHAPE_KEY: Final = "greenroom-shape"
"""In a stream's metadata: the version of its layout, contracts' `SHAPE`."""

_MARKER_TTL_S: Final = 60
_MAX_DUPLICATE_WINDOW_S: Final = 120
_MAX_VALUE: Final = 512 * 1024


def config_of(spec: StreamSpec | AnyBucket, replicas: int) -> StreamConfig:
    return stream_config(spec, replicas) if isinstance(spec, StreamSpec) else bucket_config(spec, replicas)


def stream_config(spec: StreamSpec, replicas: int) -> StreamConfig:
    """In files; a full stream discards its oldest messages."""
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
        metadata={SHAPE_KEY: str(SHAPE)},
    )


def bucket_config(spec: AnyBucket, replicas: int) -> StreamConfig:
    """The layout of NATS' key-value stores; keys may carry a TTL."""
    # A server that was killed serves expired values for up to 250 ms, until it checks the TTLs again. It applies the
    # maximum age before it serves. Younger values are still superseded by their marker.
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
        deny_delete=not spec.erasable,
        subject_delete_marker_ttl=_MARKER_TTL_S if spec.markers else None,
        num_replicas=replicas,
        metadata={SHAPE_KEY: str(SHAPE)},
    )


def fit(wanted: StreamConfig, present: StreamConfig, *, used: int, may_shrink: bool) -> StreamConfig:
    """The wanted configuration with limits that discard nothing of what the present stream holds.

    Unless the operator chose the limits, the larger size and the longer age win, so that two versions side by side,
    each with its own defaults, agree.

    Args:
        used: Bytes that the stream holds now.
        may_shrink: The operator chose these limits.
    """
    present_bytes, present_age_s = present.max_bytes or -1, present.max_age or 0
    if may_shrink:
        return replace(wanted, max_bytes=max(wanted.max_bytes or 0, used))
    if present_bytes <= 0:  # no limit yet: the first one must not discard anything
        present_bytes = used
    age_s = 0 if present_age_s == 0 or not wanted.max_age else max(wanted.max_age, present_age_s)
    return replace(wanted, max_bytes=max(wanted.max_bytes or 0, present_bytes), max_age=age_s)
