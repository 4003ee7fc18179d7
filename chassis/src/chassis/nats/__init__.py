"""NATS JetStream for the services. Only this package imports nats-py; docs/decisions/0029 says why it exists."""

from chassis.imports import without

# 7 MB that only ws:// needs, and 4 MB that only credentials files need; `connection.client` imports them then.
with without("aiohttp"), without("nkeys"):
    import nats as nats
    from faststream.nats import NatsBroker as NatsBroker

from chassis.nats.bus import Bus
from chassis.nats.connection.odd_messages import hand_on_odd_messages
from chassis.nats.errors import (
    BadReply,
    BusClosed,
    BusError,
    BusRefused,
    BusUnavailable,
    CommandTimeout,
    KeyChanged,
    KeyExists,
    NoDisk,
    NoResponder,
    NotPermitted,
    NotStored,
    NoUsableReply,
    PublishRefused,
    SequenceConflict,
    StreamFull,
    StreamMissing,
)
from chassis.nats.jetstream.messages import Published, Stored
from chassis.nats.jetstream.position import StreamPosition
from chassis.nats.jetstream.replay import Replay
from chassis.nats.jetstream.state import StreamUse
from chassis.nats.kv.bucket import Bucket, Change, ChangeKind, Entry
from chassis.nats.messaging.respond import CommandHandlers, command_router

__all__ = [
    "BadReply",
    "Bucket",
    "Bus",
    "BusClosed",
    "BusError",
    "BusRefused",
    "BusUnavailable",
    "Change",
    "ChangeKind",
    "CommandHandlers",
    "CommandTimeout",
    "Entry",
    "KeyChanged",
    "KeyExists",
    "NoDisk",
    "NoResponder",
    "NoUsableReply",
    "NotPermitted",
    "NotStored",
    "PublishRefused",
    "Published",
    "Replay",
    "SequenceConflict",
    "Stored",
    "StreamFull",
    "StreamMissing",
    "StreamPosition",
    "StreamUse",
    "command_router",
]

hand_on_odd_messages()
