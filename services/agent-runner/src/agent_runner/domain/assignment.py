"""Whether a node takes a job: idempotent by session and epoch; a session's epoch never decreases."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

from contracts.refusals import RefusalCode


class Take(Enum):
    """What to do with an accepted assignment."""

    NEW = auto()
    """Reserve a slot and start."""
    REPLACE = auto()
    """This node still holds an older epoch of the session: end that one, then start."""
    ALREADY = auto()
    """The same assignment again: answer as before."""


class Refusal(Exception):
    """The node does not take the job.

    Attributes:
        code: What the scheduler branches on.
        retryable: Another node, or this one later, may take it.
    """

    def __init__(self, code: RefusalCode, detail: str, *, retryable: bool) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.retryable = retryable


@dataclass(frozen=True, slots=True)
class NodeView:
    """What a node knows when a job is offered.

    Attributes:
        held_epoch: The session's epoch that runs here; None: none.
        ended_epoch: The session's last epoch that ended here; None: none that is remembered.
        not_ready: Why it cannot take any job now; None when it can.
    """

    slots: int
    busy: int
    draining: bool
    held_epoch: int | None = None
    ended_epoch: int | None = None
    not_ready: str | None = None


def decide(view: NodeView, epoch: int) -> Take:
    """Decide about one assignment.

    Raises:
        Refusal: `stale_epoch`, `epoch_over`, `draining`, `not_ready` or `full`.
    """
    if view.held_epoch == epoch:
        return Take.ALREADY
    if view.held_epoch is not None and view.held_epoch > epoch:
        raise Refusal(RefusalCode.STALE_EPOCH, f"epoch {view.held_epoch} of this session runs here", retryable=False)
    if view.ended_epoch is not None and view.ended_epoch >= epoch:
        raise Refusal(
            RefusalCode.EPOCH_OVER, f"epoch {view.ended_epoch} of this session has ended here", retryable=False
        )
    if view.draining:
        raise Refusal(RefusalCode.DRAINING, "the node takes nothing new", retryable=True)
    if view.not_ready is not None:
        raise Refusal(RefusalCode.NOT_READY, view.not_ready, retryable=True)
    if view.held_epoch is not None:
        return Take.REPLACE  # it inherits the slot
    if view.busy >= view.slots:
        raise Refusal(RefusalCode.FULL, f"all {view.slots} slots are taken", retryable=True)
    return Take.NEW
