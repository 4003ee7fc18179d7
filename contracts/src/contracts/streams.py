"""Streams and key-value buckets as plain data; chassis turns them into NATS configuration."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from contracts import subjects

_DAY_S: Final = 24 * 3600
_MIB: Final = 1024**2

SHAPE: Final = 1
"""Written into each stream's metadata; raise it when a bound or a policy changes, and older versions leave it so."""

CALL_SECOND_BYTES: Final = 263
"""What one second of a call takes in SESSIONS, measured: ticks, turns and their share of the rest."""


@dataclass(frozen=True)
class StreamSpec:
    """One JetStream stream, kept in files.

    Attributes:
        max_age_s: How long a message is kept, in seconds.
        duplicate_window_s: How long a `Nats-Msg-Id` is remembered, in seconds.
        max_bytes: The stream's bound; the oldest messages go first.
        is_set: The bound and the age are the operator's choice: they may also shrink.
        max_msg_size: Bytes of one message; a larger one is refused.
        append_only: No message can be deleted and none purged, by any user; it cannot be made otherwise later.
    """

    name: str
    subjects: tuple[str, ...]
    max_age_s: int
    duplicate_window_s: int = 120
    max_bytes: int = 256 * _MIB
    max_msg_size: int = 512 * 1024
    append_only: bool = False
    is_set: bool = False


@dataclass(frozen=True)
class BucketSpec:
    """One key-value bucket.

    Attributes:
        ttl_s: Age at which every key goes, in seconds; None when each key carries its own.
        key_ttl_s: The TTL that holders of this bucket's leases write with, in seconds; None without leases.
        markers: True when the expiry of a key shall leave a marker, so that watchers see it.
        max_bytes: The bucket's bound; a full bucket refuses new keys.
        is_set: The bound is the operator's choice: it may also shrink.
        in_memory: Kept in memory: no write waits for a disk, and a NATS without replicas forgets it at a restart.
    """

    name: str
    ttl_s: int | None = None
    key_ttl_s: int | None = None
    markers: bool = False
    in_memory: bool = False
    max_bytes: int = 8 * _MIB
    is_set: bool = False


SESSIONS: Final = StreamSpec(
    "SESSIONS", (subjects.ALL_SESSIONS,), max_age_s=7 * _DAY_S, max_bytes=1536 * _MIB, append_only=True
)
BILLINGS_PLACE: Final = "billing"
"""The durable consumer of SESSIONS that shows how far billing has come; the scheduler reads it."""

# A webhook's signature is valid for 6 minutes; within them a copy of it is the same message.
ROOMS: Final = StreamSpec("ROOMS", (subjects.ALL_ROOMS,), max_age_s=_DAY_S, duplicate_window_s=600)
DEAD: Final = StreamSpec("DEAD", (subjects.ALL_DEAD,), max_age_s=30 * _DAY_S)

# Each node renews its key each second; docs/decisions/0021-a-node-is-lost-within-five-seconds.md.
NODES: Final = BucketSpec("nodes", key_ttl_s=4, markers=True, in_memory=True, max_bytes=64 * _MIB)
PREJOINED: Final = BucketSpec("prejoined", key_ttl_s=15, markers=True, max_bytes=16 * _MIB)
SLOTS: Final = BucketSpec("slots", max_bytes=64 * _MIB)
LEADERS: Final = BucketSpec("leaders", key_ttl_s=5, markers=True)
QUEUE: Final = BucketSpec("queue", key_ttl_s=5, markers=True)
SEATS: Final = BucketSpec(  # kept for longer than a caller's token lives
    "seats", ttl_s=2 * 3600, max_bytes=128 * _MIB
)
IDEMPOTENCY: Final = BucketSpec("idempotency", ttl_s=_DAY_S, max_bytes=256 * _MIB)

STREAMS: Final = (SESSIONS, ROOMS, DEAD)
BUCKETS: Final = (NODES, PREJOINED, SLOTS, LEADERS, QUEUE, SEATS, IDEMPOTENCY)
GATEWAYS_BUCKETS: Final = (SEATS, IDEMPOTENCY)
"""The gateway alone makes and reads them; the scheduler makes the others."""


def stream_name(spec: StreamSpec | BucketSpec) -> str:
    """The stream's name; a bucket has one behind it."""
    return spec.name if isinstance(spec, StreamSpec) else f"KV_{spec.name}"


def calls_bytes(max_bots: int, session_ms: int) -> int:
    """What SESSIONS holds of all calls at once when each is as long as it may be."""
    return max_bots * session_ms // 1000 * CALL_SECOND_BYTES


def sessions_bytes(max_bots: int, session_ms: int) -> int:
    """The bound of SESSIONS where no setting chooses it: twice what the running calls may need, and never small."""
    needed = 2 * calls_bytes(max_bots, session_ms)
    return max(SESSIONS.max_bytes, -(-needed // _MIB) * _MIB)


def reserved_bytes(bounds: Mapping[str, int] | None = None) -> int:
    """The disk that nats-server reserves for all streams and buckets.

    Args:
        bounds: Name -> bytes of those whose bound differs from the one here.
    """
    default = {spec.name: spec.max_bytes for spec in (*STREAMS, *BUCKETS)}
    return sum((default | dict(bounds or {})).values())
