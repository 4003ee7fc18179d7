"""Streams and key-value buckets as plain data; chassis turns them into NATS configuration."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

from pydantic import BaseModel

from contracts import subjects
from contracts.registry import (
    IdempotentReply,
    IdempotentStart,
    Leader,
    NodeState,
    PrejoinedRoom,
    QueueState,
    Seat,
    Slot,
    WordsKey,
)

_DAY_S: Final = 24 * 3600
_MIB: Final = 1024**2

SHAPE: Final = 1
"""Version in each stream's metadata. Raise it with every change of a bound or a policy: older services then leave the
stream's configuration alone."""

CALL_SECOND_BYTES: Final = 263
"""Bytes that one second of a call takes in SESSIONS (measured): ticks, turns and their share of the other events."""


_KEY_BYTES: Final = 250
_MEAN_CALL_S: Final = 180


@dataclass(frozen=True)
class StreamSpec:
    """One JetStream stream, kept in files.

    Attributes:
        max_age_s: How long a message is kept, in seconds.
        duplicate_window_s: How long a `Nats-Msg-Id` is remembered, in seconds.
        max_bytes: Size limit; beyond it the server deletes the oldest messages.
        is_set: True when the operator chose the size and the age: both may then also shrink.
        max_msg_size: Size limit of one message, in bytes; the server refuses a larger one.
        append_only: No user can delete or purge messages. This cannot be changed later.
    """

    name: str
    subjects: tuple[str, ...]
    max_age_s: int
    duplicate_window_s: int = 120
    max_bytes: int = 256 * _MIB
    max_msg_size: int = 512 * 1024
    append_only: bool = False
    is_set: bool = False


Value = TypeVar("Value", bound=BaseModel)


@dataclass(frozen=True)
class BucketSpec(Generic[Value]):
    """One key-value bucket.

    Attributes:
        shape: Type of the values.
        ttl_s: Age at which every key expires, in seconds; None when each key has its own TTL, or none.
        key_ttl_s: TTL of this bucket's leases, in seconds; None without leases.
        markers: True when an expired key leaves a marker, so that watchers see the expiry.
        max_bytes: Size limit; a full bucket refuses new keys.
        is_set: True when the operator chose the size: it may then also shrink.
        in_memory: True when no write waits for a disk; without replicas, a restart of NATS loses the bucket.
        erasable: True when a value may be erased: overwritten on NATS' disk, where a superseded or deleted one stays.
    """

    name: str
    shape: type[Value]
    ttl_s: int | None = None
    key_ttl_s: int | None = None
    markers: bool = False
    in_memory: bool = False
    erasable: bool = False
    max_bytes: int = 8 * _MIB
    is_set: bool = False


AnyBucket = BucketSpec[Any]

SESSIONS: Final = StreamSpec(
    "SESSIONS", (subjects.ALL_SESSIONS,), max_age_s=7 * _DAY_S, max_bytes=1536 * _MIB, append_only=True
)
BILLINGS_POSITION: Final = "billing"
"""The durable consumer of SESSIONS that holds billing's position; the scheduler reads it."""

# A webhook's signature is valid for 6 minutes; a copy that arrives in that time must count as a duplicate.
ROOMS: Final = StreamSpec("ROOMS", (subjects.ALL_ROOMS,), max_age_s=_DAY_S, duplicate_window_s=600)
DEAD: Final = StreamSpec("DEAD", (subjects.ALL_DEAD,), max_age_s=30 * _DAY_S)

# Each node renews its key each second; docs/decisions/0021-a-node-is-lost-within-five-seconds.md.
NODES: Final = BucketSpec("nodes", NodeState, key_ttl_s=4, markers=True, in_memory=True, max_bytes=64 * _MIB)
PREJOINED: Final = BucketSpec("prejoined", PrejoinedRoom, key_ttl_s=15, markers=True, max_bytes=16 * _MIB)
SLOTS: Final = BucketSpec("slots", Slot, max_bytes=64 * _MIB)
LEADERS: Final = BucketSpec("leaders", Leader, key_ttl_s=5, markers=True)
QUEUE: Final = BucketSpec("queue", QueueState, key_ttl_s=5, markers=True)
SEATS: Final = BucketSpec(  # outlives a caller's token
    "seats", Seat, ttl_s=2 * 3600, max_bytes=128 * _MIB
)
KEYS: Final = BucketSpec(  # outlives the log; the scheduler sets both from the log's age
    "keys", WordsKey, ttl_s=SESSIONS.max_age_s + _DAY_S, max_bytes=64 * _MIB, erasable=True
)
IDEMPOTENCY: Final[BucketSpec[IdempotentStart | IdempotentReply]] = BucketSpec(
    "idempotency", IdempotentStart, ttl_s=_DAY_S, max_bytes=256 * _MIB
)

STREAMS: Final = (SESSIONS, ROOMS, DEAD)
BUCKETS: Final = (NODES, PREJOINED, SLOTS, LEADERS, QUEUE, KEYS, SEATS, IDEMPOTENCY)
GATEWAYS_BUCKETS: Final = (SEATS, IDEMPOTENCY)
"""Only the gateway creates and reads these; the scheduler creates the others."""


def stream_name(spec: StreamSpec | AnyBucket) -> str:
    """The name of the stream, or of the stream that stores the bucket."""
    return spec.name if isinstance(spec, StreamSpec) else f"KV_{spec.name}"


def calls_bytes(max_bots: int, session_ms: int) -> int:
    """Bytes of SESSIONS that `max_bots` calls fill when each lasts `session_ms`."""
    return max_bots * session_ms // 1000 * CALL_SECOND_BYTES


def sessions_bytes(max_bots: int, session_ms: int) -> int:
    """The default size limit of SESSIONS: twice `calls_bytes`, and at least the size in `SESSIONS`."""
    needed = 2 * calls_bytes(max_bots, session_ms)
    return max(SESSIONS.max_bytes, -(-needed // _MIB) * _MIB)


def keys_bytes(max_bots: int, kept_s: int) -> int:
    """The default size limit of `keys`: the calls of three minutes that `max_bots` slots make while a key is kept.

    It is at least the size in `KEYS`.
    """
    needed = max_bots * kept_s // _MEAN_CALL_S * _KEY_BYTES
    return max(KEYS.max_bytes, -(-needed // _MIB) * _MIB)


def reserved_bytes(bounds: Mapping[str, int] | None = None) -> int:
    """Bytes of disk that nats-server reserves for all streams and buckets.

    Args:
        bounds: Name -> size limit, where it differs from the one in this module.
    """
    default = {spec.name: spec.max_bytes for spec in (*STREAMS, *BUCKETS)}
    return sum((default | dict(bounds or {})).values())
