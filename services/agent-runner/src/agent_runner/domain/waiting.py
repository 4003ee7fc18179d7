"""A worker that waits in a room joined ahead: when its key is renewed, when it is put away. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

from contracts.deadlines import PREJOINED_LEASE_S, PREJOINED_RENEW_S

CLAIM_S = 60.0
"""How long a room that somebody has taken waits for its job: a start may queue for 30 s before it has a node."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """One room whose worker has joined; times are monotonic seconds.

    Attributes:
        expires: When it is too old to be handed out.
        renewed: When its key was last written.
        claimed: When its key was found to be gone, because somebody took the room; None: it is to be had.
    """

    expires: float
    renewed: float
    claimed: float | None = None


class Step(Enum):
    """What to do with it now."""

    WAIT = auto()
    RENEW = auto()
    """Write its key again."""
    WITHDRAW = auto()
    """Take its key away, unless somebody has the room by now, and then end the worker."""
    END = auto()
    """End the worker: it hangs, nobody can find it, or whoever took the room did not come."""


def next_step(room: Waiting, now: float, *, silent_s: float, silence_limit_s: float) -> Step:
    """Decide about one room.

    Args:
        room: As it is.
        now: Monotonic seconds.
        silent_s: Time since the worker's last message, our own pauses taken off.
        silence_limit_s: Silence after which a worker is taken for hung.
    """
    if silent_s >= silence_limit_s:
        return Step.END
    if room.claimed is not None:
        return Step.END if now - room.claimed >= CLAIM_S else Step.WAIT
    if now - room.renewed >= PREJOINED_LEASE_S:
        return Step.END
    if now >= room.expires:
        return Step.WITHDRAW
    return Step.RENEW if now - room.renewed >= PREJOINED_RENEW_S else Step.WAIT
