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
    CommandError,
    CommandTimeout,
    KeyChanged,
    KeyExists,
    NoDisk,
    NoResponder,
    NotPermitted,
    NotStored,
    PublishRefused,
    SequenceConflict,
    StreamFull,
    StreamMissing,
)
from chassis.nats.jetstream.messages import Published, Stored
from chassis.nats.jetstream.place import Place, place_of, show_place
from chassis.nats.jetstream.replay import Replay
from chassis.nats.jetstream.state import StreamUse, account_streams
from chassis.nats.kv.bucket import Bucket, Cause, Change, Entry
from chassis.nats.messaging.respond import Handlers, command_router

__all__ = [
    "BadReply",
    "Bucket",
    "Bus",
    "BusClosed",
    "BusError",
    "BusRefused",
    "BusUnavailable",
    "Cause",
    "Change",
    "CommandError",
    "CommandTimeout",
    "Entry",
    "Handlers",
    "KeyChanged",
    "KeyExists",
    "NoDisk",
    "NoResponder",
    "NotPermitted",
    "NotStored",
    "Place",
    "PublishRefused",
    "Published",
    "Replay",
    "SequenceConflict",
    "Stored",
    "StreamFull",
    "StreamMissing",
    "StreamUse",
    "account_streams",
    "command_router",
    "place_of",
    "show_place",
]

hand_on_odd_messages()
