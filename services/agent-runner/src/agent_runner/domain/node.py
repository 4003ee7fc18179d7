"""The jobs of one node: which it takes, ends and remembers. A command repeated for an epoch gets the same answer."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final, TypeAlias

from contracts.causes import Cause
from contracts.deadlines import NODE_LEASE_S
from contracts.refusals import RefusalCode

FENCE_PAUSE_S: Final = 2.0
"""A wake-up or the return of NATS is noticed in several places at once, but the jobs are fenced once."""

REMEMBERED: Final = 10_000
"""Ended jobs that the node remembers; the oldest are forgotten first."""


@dataclass(frozen=True, slots=True)
class EndedJob:
    epoch: int = 0
    served_ms: int = 0
    fault_ms: int = 0


@dataclass(frozen=True, slots=True)
class NodeJobs:
    """By session.

    Attributes:
        running: The epoch that runs here.
        ended: The last epoch that ended here; the one that ended last stands last.
        term: The greatest term that a scheduler has sent.
    """

    running: Mapping[str, int] = field(default_factory=dict[str, int])
    ended: Mapping[str, EndedJob] = field(default_factory=dict[str, EndedJob])
    term: int = 0
    draining: bool = False


@dataclass(frozen=True, slots=True)
class NodeLimits:
    """The node's present capacity.

    Attributes:
        busy: Slots of jobs.
        held: Slots of prejoined rooms, which make way for jobs.
        not_ready: Why the node cannot take a job now; None: it can.
    """

    slots: int
    busy: int
    held: int = 0
    not_ready: str | None = None


# --- events


@dataclass(frozen=True, slots=True)
class AssignAsked:
    """`term`: the scheduler's; 0: it is of an older version."""

    session_id: str
    epoch: int
    term: int = 0


@dataclass(frozen=True, slots=True)
class EndAsked:
    """`superseded`: the scheduler knows of a newer epoch."""

    session_id: str
    epoch: int
    term: int = 0
    superseded: bool = False


@dataclass(frozen=True, slots=True)
class PrejoinAsked:
    """`is_known`: the node has the room already."""

    is_known: bool = False


@dataclass(frozen=True, slots=True)
class JobOver:
    session_id: str
    job: EndedJob


@dataclass(frozen=True, slots=True)
class Draining:
    """The node takes no new job from now on."""


NodeEvent: TypeAlias = AssignAsked | EndAsked | PrejoinAsked | JobOver | Draining


# --- effects


@dataclass(frozen=True, slots=True)
class Refuse:
    """Answer with this error. `retryable`: another node, or this one later, may take the job."""

    code: RefusalCode
    detail: str
    retryable: bool = False
    term: int = 0


@dataclass(frozen=True, slots=True)
class StartJob:
    pass


@dataclass(frozen=True, slots=True)
class EndJob:
    """End the epoch of the session that runs here."""

    cause: Cause


@dataclass(frozen=True, slots=True)
class AnswerEnded:
    """`job`: the epoch that ended here before; None: the node does not remember it."""

    job: EndedJob | None


NodeEffect: TypeAlias = Refuse | StartJob | EndJob | AnswerEnded
Next: TypeAlias = tuple[NodeJobs, tuple[NodeEffect, ...]]


def step(state: NodeJobs, event: NodeEvent, limits: NodeLimits) -> Next:
    """Decide the next state, and the effects in the order in which they are performed.

    No effects: a `PrejoinAsked` is accepted, an `AssignAsked` repeats one that was accepted before.
    """
    match event:
        case AssignAsked() | EndAsked() if 0 < event.term < state.term:
            return state, (Refuse(RefusalCode.STALE_TERM, f"term {state.term} was heard", term=state.term),)
        case AssignAsked():
            return _assign(replace(state, term=max(state.term, event.term)), event, limits)
        case EndAsked():
            return _end(replace(state, term=max(state.term, event.term)), event)
        case PrejoinAsked():
            refused = _unable(state, limits, busy=0 if event.is_known else limits.busy + limits.held)
            return state, () if refused is None else (refused,)
        case JobOver():
            return _over(state, event), ()
        case Draining():
            return replace(state, draining=True), ()


def _assign(state: NodeJobs, event: AssignAsked, limits: NodeLimits) -> Next:
    held = state.running.get(event.session_id)
    refused = None if held == event.epoch else _refusal(state, event, limits)
    if held == event.epoch or refused is not None:
        return state, () if refused is None else (refused,)
    state = replace(state, running={**state.running, event.session_id: event.epoch})
    return state, (StartJob(),) if held is None else (EndJob(Cause.SUPERSEDED), StartJob())


def _refusal(state: NodeJobs, event: AssignAsked, limits: NodeLimits) -> Refuse | None:
    held, ended = state.running.get(event.session_id), state.ended.get(event.session_id)
    if held is not None and held > event.epoch:
        return Refuse(RefusalCode.STALE_EPOCH, f"epoch {held} of this session runs here")
    if ended is not None and ended.epoch >= event.epoch:
        return Refuse(RefusalCode.EPOCH_OVER, f"epoch {ended.epoch} of this session has ended here")
    return _unable(state, limits, busy=limits.busy if held is None else 0)  # a newer epoch inherits the slot


def _unable(state: NodeJobs, limits: NodeLimits, *, busy: int) -> Refuse | None:
    if state.draining:
        return Refuse(RefusalCode.DRAINING, "the node takes nothing new", retryable=True)
    if limits.not_ready is not None:
        return Refuse(RefusalCode.NOT_READY, limits.not_ready, retryable=True)
    if busy >= limits.slots:
        return Refuse(RefusalCode.FULL, f"all {limits.slots} slots are taken", retryable=True)
    return None


def _end(state: NodeJobs, event: EndAsked) -> Next:
    held, ended = state.running.get(event.session_id), state.ended.get(event.session_id)
    if held is None:
        return state, (AnswerEnded(ended if ended is not None and ended.epoch == event.epoch else None),)
    if held > event.epoch:
        return state, (Refuse(RefusalCode.STALE_EPOCH, f"epoch {held} of this session runs here"),)
    is_stale = held != event.epoch or event.superseded
    return state, (EndJob(Cause.SUPERSEDED if is_stale else Cause.ENDED),)


def _over(state: NodeJobs, event: JobOver) -> NodeJobs:
    session_id, job = event.session_id, event.job
    running, ended = dict(state.running), dict(state.ended)
    if running.get(session_id) == job.epoch:
        del running[session_id]
    if job.epoch >= ended.get(session_id, EndedJob()).epoch:
        ended.pop(session_id, None)
        ended[session_id] = job
    while len(ended) > REMEMBERED:
        del ended[next(iter(ended))]
    return replace(state, running=running, ended=ended)


@dataclass(frozen=True, slots=True)
class NodeLease:
    """The lease of the node's entry, in seconds of a clock that goes on while the machine is suspended.

    Attributes:
        renewed: When the last successful write of the entry began.
        fenced: When the jobs were fenced last.
    """

    renewed: float
    fenced: float = float("-inf")

    def may_have_lapsed(self, now: float) -> bool:
        """Whether other nodes may have been given the jobs, so that they must be fenced."""
        return now - self.renewed >= NODE_LEASE_S and now - self.fenced >= FENCE_PAUSE_S

    def renew(self, began: float) -> "NodeLease":
        return replace(self, renewed=max(self.renewed, began))
