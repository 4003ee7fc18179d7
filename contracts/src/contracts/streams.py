"""Streams and key-value buckets as plain data; chassis turns them into NATS configuration."""

from dataclasses import dataclass
from typing import Final

from contracts import subjects

_DAY_S: Final = 24 * 3600


@dataclass(frozen=True)
class StreamSpec:
    """One JetStream stream, kept in files.

    Attributes:
        max_age_s: How long a message is kept, in seconds.
        duplicate_window_s: How long a `Nats-Msg-Id` is remembered, in seconds.
        max_bytes: The stream's bound; the oldest messages go first.
        max_msg_size: Bytes of one message; a larger one is refused.
        append_only: No message can be deleted and none purged, by any user; it cannot be made otherwise later.
    """

    name: str
    subjects: tuple[str, ...]
    max_age_s: int
    duplicate_window_s: int = 120
    max_bytes: int = 4 * 1024**3
    max_msg_size: int = 512 * 1024
    append_only: bool = False


@dataclass(frozen=True)
class BucketSpec:
    """One key-value bucket.

    Attributes:
        ttl_s: Age at which every key goes, in seconds; None when each key carries its own.
        key_ttl_s: The TTL that holders of this bucket's leases write with, in seconds; None without leases.
        markers: True when the expiry of a key shall leave a marker, so that watchers see it.
    """

    name: str
    ttl_s: int | None = None
    key_ttl_s: int | None = None
    markers: bool = False
    max_bytes: int = 64 * 1024**2


SESSIONS: Final = StreamSpec("SESSIONS", (subjects.ALL_SESSIONS,), max_age_s=7 * _DAY_S, append_only=True)
# A webhook's signature is valid for 6 minutes; within them a copy of it is the same message.
ROOMS: Final = StreamSpec("ROOMS", (subjects.ALL_ROOMS,), max_age_s=_DAY_S, duplicate_window_s=600, max_bytes=1024**3)
DEAD: Final = StreamSpec("DEAD", (subjects.ALL_DEAD,), max_age_s=30 * _DAY_S, max_bytes=1024**3)

NODES: Final = BucketSpec("nodes", key_ttl_s=15, markers=True)
PREJOINED: Final = BucketSpec("prejoined", key_ttl_s=15, markers=True)
SLOTS: Final = BucketSpec("slots")
LEADERS: Final = BucketSpec("leaders", key_ttl_s=5, markers=True)
QUEUE: Final = BucketSpec("queue", key_ttl_s=5, markers=True)
# Longer than a caller's token lives. SEATS_MAX_MB may set another bound.
SEATS: Final = BucketSpec("seats", ttl_s=2 * 3600, max_bytes=128 * 1024**2)
IDEMPOTENCY: Final = BucketSpec("idempotency", ttl_s=_DAY_S, max_bytes=256 * 1024**2)  # or IDEMPOTENCY_MAX_MB

STREAMS: Final = (SESSIONS, ROOMS, DEAD)
BUCKETS: Final = (NODES, PREJOINED, SLOTS, LEADERS, QUEUE, SEATS, IDEMPOTENCY)
GATEWAYS_BUCKETS: Final = (SEATS, IDEMPOTENCY)
"""The gateway alone makes and reads them; the scheduler makes the others."""
