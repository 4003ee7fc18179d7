"""What is known of one job. All instants are seconds of one monotonic clock."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from agent_runner.domain.credit import Credit
from agent_runner.domain.fault_report import FaultReport
from agent_runner.domain.fault_time import FaultTime
from agent_runner.domain.served_time import ServedTime
from agent_runner.link.messages import Stopped, Turn
from contracts.causes import Cause, provider_failed


@dataclass(frozen=True, slots=True)
class Assignment:
    """What stands from the job's begin to its end.

    Attributes:
        began: When the job was assigned.
        farewell: The agent only tells the caller that the call cannot go on.
    """

    epoch: int
    began: float
    credit: Credit
    farewell: bool = False


@dataclass(frozen=True, slots=True)
class CallWorker:
    """The job's worker.

    Attributes:
        pid: Its process; 0: the job waits for a worker.
        went: When `Go` was sent.
        has_joined: The agent has been in the room.
        silent_s: Its silence, without the supervisor's own pauses.
        failed_provider: The last provider that it reported as unusable.
        stopped: Its last message.
    """

    pid: int = 0
    went: float | None = None
    has_joined: bool = False
    silent_s: float = 0.0
    failed_provider: str | None = None
    stopped: Stopped | None = None

    @property
    def cause_of_exit(self) -> str:
        """The cause that it named; an exit without a last message is a crash."""
        if self.stopped is None:
            return Cause.CRASHED
        is_provider = self.stopped.cause is Cause.PROVIDER_FAILED
        return provider_failed(self.failed_provider) if is_provider else self.stopped.cause


@dataclass(frozen=True, slots=True)
class CallState:
    """One job, in a call or on the way to one.

    Attributes:
        has_started: Caller and agent have been in the room together.
        has_warned: The warning before the session's limit was sent.
        stage_ms: When each stage of the start ended, in ms since the assignment.
        unfinished: The turn in progress.
        cause: Why the call ends; None: its end is not decided.
        has_ended: The process is gone, or there never was one, and `agent_stopped` was reported.
    """

    job: Assignment
    worker: CallWorker = field(default_factory=CallWorker)
    served: ServedTime = field(default_factory=ServedTime)
    faults: FaultTime = field(default_factory=FaultTime)
    fault_report: FaultReport = field(default_factory=FaultReport)
    has_started: bool = False
    has_warned: bool = False
    ticked_at: float = 0.0
    stage_ms: Mapping[str, int] = field(default_factory=dict[str, int])
    unfinished: Turn | None = None
    cause: str | None = None
    has_ended: bool = False

    @property
    def served_ms(self) -> int:
        return self.served.served_ms

    @property
    def fault_ms(self) -> int:
        """The part of the served time in which a provider failed."""
        return self.faults.total_ms(self.served.served_ms)
