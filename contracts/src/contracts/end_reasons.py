"""Why a session ended: the `reason` of `ended`.

On the wire a reason is a string: besides the ones below, the text of an `end_requested`, `provider_failed:<provider>`,
or a reason of another version.
"""

from enum import StrEnum
from typing import Final

from contracts.causes import Cause


class EndReason(StrEnum):
    """Reasons that the services state."""

    REQUESTED = "requested"
    """A client ended the session."""
    ENDED = Cause.ENDED
    """The node reported that a former leader of the schedulers had sent `end`."""
    CALLER_LEFT = "caller_left"
    """The caller was away for RECONNECT_GRACE_S."""
    CALLER_NEVER_JOINED = "caller_never_joined"
    """The caller did not join within CALLER_JOIN_TIMEOUT_S."""
    ROOM_CLOSED = Cause.ROOM_CLOSED
    """The room was deleted."""
    SESSION_TIMEOUT = Cause.SESSION_TIMEOUT
    """The session lasted SESSION_TIMEOUT."""
    CREDIT_SPENT = Cause.CREDIT_SPENT
    """The session used up its grant."""
    USER_IDLE = Cause.USER_IDLE
    """The caller was silent for USER_IDLE_END_S."""
    AGENT_ENDED = Cause.AGENT_ENDED
    """The agent ended the call, as `endCall` permits it."""
    PROVIDER_FAILED = Cause.PROVIDER_FAILED
    """A provider became unusable; the reason ends with `:stt`, `:llm` or `:tts`."""
    QUEUE_FULL = "queue_full"
    """MAX_QUEUE starts were waiting."""
    QUEUE_DEADLINE = "queue_deadline"
    """The start waited for QUEUE_DEADLINE_S."""
    MAX_BOTS = "max_bots"
    """MAX_BOTS sessions were running."""
    NO_NODES = "no_nodes"
    """No node was alive."""
    NODES_DRAINING = "nodes_draining"
    """Every node was draining."""
    NODES_OVERLOADED = "nodes_overloaded"
    """Every node with a free slot had a CPU load of MAX_LOAD or more."""
    NODES_FAILING = "nodes_failing"
    """Starts failed on every node, and the nodes were suspended."""
    NO_CAPACITY = "no_capacity"
    """Every node ran as many jobs as it can."""
    NO_OTHER_NODE = "no_other_node"
    """Every able node had just failed to start this session."""
    START_TIMEOUT = "start_timeout"
    """No agent joined within BOT_STARTUP_TIMEOUT."""
    ATTEMPTS_FAILED = "attempts_failed"
    """The start failed on as many nodes as may be tried."""
    AGENT_FAILED = "agent_failed"
    """More agents died than MAX_TAKEOVERS."""
    UNREADABLE_LOG = "unreadable_log"
    """A decisive record of the session is unreadable."""
    WORDS_LOST = "words_lost"
    """The key of the session's words is gone from the bucket `keys`, or does not open them."""


_BY_TEXT: Final = {reason.value: reason for reason in EndReason}

CAPACITY: Final = frozenset(
    {
        EndReason.NO_NODES,
        EndReason.NODES_DRAINING,
        EndReason.NODES_OVERLOADED,
        EndReason.NODES_FAILING,
        EndReason.NO_CAPACITY,
        EndReason.MAX_BOTS,
    }
)
"""Reasons to which more nodes, or a higher MAX_BOTS, are the answer."""


def known(reason: str) -> EndReason | None:
    """The reason without a provider's name; None when it is another text."""
    name, colon, _ = reason.partition(":")
    found = _BY_TEXT.get(name)
    return None if colon and found is not EndReason.PROVIDER_FAILED else found
