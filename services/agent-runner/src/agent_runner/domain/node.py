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
"""Ended jobs that the node remembers; the oldest are evicted first."""


@dataclass(frozen=True, slots=True)
class EndedJob:
    epoch: int = 0
    served_ms: int = 0
    fault_ms: int = 0


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


@dataclass(frozen=True, slots=True)
class Refuse:
    """Answer with this error. `retryable`: another node, or this one later, may take the job."""

    code: RefusalCode
    detail: str
    retryable: bool = False
    term: int = 0


@dataclass(frozen=True, slots=True)
class StartJob:
    """Start the job that was assigned."""


@dataclass(frozen=True, slots=True)
class EndEpoch:
    """End the epoch of the session that runs here."""

    cause: Cause


@dataclass(frozen=True, slots=True)
class AnswerEnded:
    """`job`: the epoch that ended here before; None: the node does not remember it."""

    job: EndedJob | None


AssignEffect: TypeAlias = Refuse | StartJob | EndEpoch
EndEffect: TypeAlias = Refuse | EndEpoch | AnswerEnded


@dataclass(frozen=True, slots=True)
class NodeJobs:
    """The jobs by session. A command returns the next state, and the effects in the order in which they are performed.

    Attributes:
        running: The epoch that runs here.
        ended: The last epoch that ended here, in the order of their ends.
        term: The greatest term that a scheduler has sent; 0 in a command: the scheduler is of an older version.
    """

    running: Mapping[str, int] = field(default_factory=dict[str, int])
    ended: Mapping[str, EndedJob] = field(default_factory=dict[str, EndedJob])
    term: int = 0
    draining: bool = False

    def assign(
        self, session_id: str, epoch: int, limits: NodeLimits, *, term: int = 0
    ) -> tuple["NodeJobs", tuple[AssignEffect, ...]]:
        """Start or refuse the job; no effects: the same command was accepted before."""
        if 0 < term < self.term:
            return self, (self._stale_term(),)
        state = replace(self, term=max(self.term, term))
        held = self.running.get(session_id)
        if held == epoch:
            return state, ()
        refused = self._refusal(session_id, epoch, limits)
        if refused is not None:
            return state, (refused,)
        state = replace(state, running={**self.running, session_id: epoch})
        return state, (StartJob(),) if held is None else (EndEpoch(Cause.SUPERSEDED), StartJob())

    def end(
        self, session_id: str, epoch: int, *, term: int = 0, superseded: bool = False
    ) -> tuple["NodeJobs", tuple[EndEffect]]:
        """End the job, or answer from memory. `superseded`: the scheduler knows of a newer epoch."""
        if 0 < term < self.term:
            return self, (self._stale_term(),)
        state = replace(self, term=max(self.term, term))
        held, ended = self.running.get(session_id), self.ended.get(session_id)
        if held is None:
            return state, (AnswerEnded(ended if ended is not None and ended.epoch == epoch else None),)
        if held > epoch:
            return state, (_stale_epoch(held),)
        return state, (EndEpoch(Cause.SUPERSEDED if held != epoch or superseded else Cause.ENDED),)

    def refuse_room(self, limits: NodeLimits, *, is_known: bool) -> Refuse | None:
        """Why the node cannot prejoin a room now. `is_known`: it has the room already."""
        return self._unable(limits, busy=0 if is_known else limits.busy + limits.held)

    def job_ended(self, session_id: str, job: EndedJob) -> "NodeJobs":
        running, ended = dict(self.running), dict(self.ended)
        if running.get(session_id) == job.epoch:
            del running[session_id]
        if job.epoch >= ended.get(session_id, EndedJob()).epoch:
            ended.pop(session_id, None)
            ended[session_id] = job
        while len(ended) > REMEMBERED:
            del ended[next(iter(ended))]
        return replace(self, running=running, ended=ended)

    def _stale_term(self) -> Refuse:
        return Refuse(RefusalCode.STALE_TERM, f"term {self.term} was heard", term=self.term)

    def _refusal(self, session_id: str, epoch: int, limits: NodeLimits) -> Refuse | None:
        held, ended = self.running.get(session_id), self.ended.get(session_id)
        if held is not None and held > epoch:
            return _stale_epoch(held)
        if ended is not None and ended.epoch >= epoch:
            return Refuse(RefusalCode.EPOCH_OVER, f"epoch {ended.epoch} of this session has ended here")
        return self._unable(limits, busy=limits.busy if held is None else 0)  # a newer epoch inherits the slot

    def _unable(self, limits: NodeLimits, *, busy: int) -> Refuse | None:
        if self.draining:
            return Refuse(RefusalCode.DRAINING, "the node takes nothing new", retryable=True)
        if limits.not_ready is not None:
            return Refuse(RefusalCode.NOT_READY, limits.not_ready, retryable=True)
        if busy >= limits.slots:
            return Refuse(RefusalCode.FULL, f"all {limits.slots} slots are taken", retryable=True)
        return None


def _stale_epoch(held: int) -> Refuse:
    return Refuse(RefusalCode.STALE_EPOCH, f"epoch {held} of this session runs here")


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
