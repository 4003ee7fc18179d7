"""What the leader knows about a session beside its log: it is lost with the leader, and found again."""

from dataclasses import dataclass

from contracts.events import Outcome


@dataclass(frozen=True, slots=True)
class Verdict:
    """The session is over; what `ended` will say."""

    outcome: Outcome
    reason: str


@dataclass(frozen=True, slots=True)
class EndAnswer:
    """How the node answered `end`.

    Attributes:
        epoch: The epoch that was to end.
        served_ms: What the node says that epoch served; None when the node was silent, so that its last tick counts.
        fault_ms: The part of it that a provider's fault took.
    """

    epoch: int
    served_ms: int | None
    fault_ms: int = 0


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known beside the log. Times are on the clock of the log, ms.

    Attributes:
        since_ms: When this leader began.
        slot: The key of the slot that the session owns.
        asked_epoch: The last epoch whose `assign` this leader sent.
        blamed_epoch: The last epoch whose failure was held against its node.
        refused_epoch: The last epoch whose `assign` a node refused or left unanswered.
        verdict: Why the session ends, once its agent was told to stop; the agent's own last word does not change it.
        end_asked_epoch: The last epoch whose `end` this leader sent.
        end_asked_ms: When it was sent last.
        end_tries: How often.
        speaking_epoch: The epoch whose `end` let it say a last sentence; 0: none, or it was cut short since.
        end_answer: What came of it.
        stop_sent_epoch: The last superseded epoch whose node was told to let go.
        node_lost: The current epoch's node is gone from the registry.
        node_lost_ms: Since when.
        unlisted_epoch: The epoch that its node, alive, does not list among its jobs; 0: none.
        unlisted_ms: Since when.
        caller_here: LiveKit shows the caller in the room; None: not known.
        caller_sid: LiveKit's id of the caller's present stay.
        caller_stays: LiveKit's ids of stays that are over.
        caller_left_ms: Since when the caller is away, having been there.
        room_closed: LiveKit said that it closed the room.
        room_deleted: The room is deleted, or was never there.
        billable_ms: The session's billable time by its log, when that was last read for it.
        measured_ms: When that was; None: not yet.
        blocked: Why no node could be chosen at the last try.
        refusal: Why the session cannot even wait.
    """

    since_ms: int = 0
    slot: int | None = None
    asked_epoch: int = 0
    blamed_epoch: int = 0
    refused_epoch: int = 0
    verdict: Verdict | None = None
    end_asked_epoch: int = 0
    end_asked_ms: int = 0
    end_tries: int = 0
    speaking_epoch: int = 0
    end_answer: EndAnswer | None = None
    stop_sent_epoch: int = 0
    node_lost: bool = False
    node_lost_ms: int | None = None
    unlisted_epoch: int = 0
    unlisted_ms: int = 0
    caller_here: bool | None = None
    caller_sid: str | None = None
    caller_stays: tuple[str, ...] = ()
    caller_left_ms: int | None = None
    room_closed: bool = False
    room_deleted: bool = False
    billable_ms: int = 0
    measured_ms: int | None = None
    blocked: str | None = None
    refusal: str | None = None
