"""NATS JetStream for the services: every trap that we know of is handled here, once."""

from chassis.imports import without

# 7 MB that only ws:// needs, and 4 MB that only credentials files need: `client` takes them then.
with without("aiohttp"), without("nkeys"):
    import nats as nats
    from faststream.nats import NatsBroker as NatsBroker

from chassis.nats.bus import Bus
from chassis.nats.connection.odd_messages import hand_on_odd_messages
from chassis.nats.errors import (
    BadReply,
    BusRefused,
    BusUnavailable,
    CommandError,
    CommandTimeout,
    KeyChanged,
    KeyExists,
    NoDisk,
    NoResponder,
    NotStored,
    PublishRefused,
    Rejected,
    RetryLater,
    SequenceConflict,
    StreamFull,
    StreamMissing,
)
from chassis.nats.jetstream.messages import Published, Stored
from chassis.nats.jetstream.replay import Replay
from chassis.nats.jetstream.stream_use import StreamUse
from chassis.nats.jetstream.unreadable import read_value
from chassis.nats.kv.bucket import Bucket, Cause, Change, Entry
from chassis.nats.messaging.commands import Responder, respond
from chassis.nats.messaging.consumer import Consumer, consumer

__all__ = [
    "BadReply",
    "Bucket",
    "Bus",
    "BusRefused",
    "BusUnavailable",
    "Cause",
    "Change",
    "CommandError",
    "CommandTimeout",
    "Consumer",
    "Entry",
    "KeyChanged",
    "KeyExists",
    "NoDisk",
    "NoResponder",
    "NotStored",
    "PublishRefused",
    "Published",
    "Rejected",
    "Replay",
    "Responder",
    "RetryLater",
    "SequenceConflict",
    "Stored",
    "StreamFull",
    "StreamMissing",
    "StreamUse",
    "consumer",
    "read_value",
    "respond",
]

hand_on_odd_messages()
