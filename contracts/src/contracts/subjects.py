"""NATS subjects."""

from typing import Final

SESSION_PREFIX: Final = "voice.v1.session"
ROOM_PREFIX: Final = "voice.v1.room"
NODE_PREFIX: Final = "voice.v1.node"
DEAD_PREFIX: Final = "dead"

ALL_SESSIONS: Final = f"{SESSION_PREFIX}.>"
ALL_ROOMS: Final = f"{ROOM_PREFIX}.>"
ALL_DEAD: Final = f"{DEAD_PREFIX}.>"

BILLING_RESERVE: Final = "voice.v1.billing.reserve"
BILLING_GRANT: Final = "voice.v1.billing.grant"


def session_event(event: str, session_id: str) -> str:
    """`voice.v1.session.<event>.<session_id>`; the id "*" selects the event of every session."""
    return f"{SESSION_PREFIX}.{event}.{session_id}"


def session_log(session_id: str) -> str:
    """Filter for every event of one session."""
    return f"{SESSION_PREFIX}.*.{session_id}"


def room_event(event: str, session_id: str) -> str:
    """`voice.v1.room.<event>.<session_id>`, with the webhook's event name."""
    return f"{ROOM_PREFIX}.{event}.{session_id}"


def node_command(address: str, command: str) -> str:
    """`voice.v1.node.<address>.<command>`; the commands are assign, end, prejoin, describe and drain.

    Args:
        address: `NodeState.address`: `<node_id>~<incarnation>` reaches exactly one process. Older versions know only
            the node id, which reaches the process that currently has that name.
    """
    return f"{NODE_PREFIX}.{address}.{command}"
