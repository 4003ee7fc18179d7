"""The events that a call reacts to, and the effects that its steps ask for."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from agent_runner.link.messages import ToolCall, ToSupervisor, ToWorker, Turn

# --- events


@dataclass(frozen=True, slots=True)
class Past:
    """What a take-over knows of the earlier epochs; see `Go`."""

    history: bytes
    is_asked: bool
    questions: int
    open_calls: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class WorkerTaken:
    """`path`: where the worker came from; `waited_ms`: how long the job waited for it."""

    pid: int
    path: str
    waited_ms: int


@dataclass(frozen=True, slots=True)
class Prepared:
    """The job has its worker, and its past if it is a take-over."""

    past: Past | None = None


@dataclass(frozen=True, slots=True)
class NoWorkerInTime:
    reason: str


@dataclass(frozen=True, slots=True)
class Said:
    """The worker sent a message."""

    message: ToSupervisor


@dataclass(frozen=True, slots=True)
class Looked:
    """Time has passed, with so much silence of the worker; comes a few times a second."""

    silence_s: float


@dataclass(frozen=True, slots=True)
class EndAsked:
    """`say`: a last sentence."""

    cause: str
    say: str | None = None


@dataclass(frozen=True, slots=True)
class LastEpoch:
    """The last epoch that the log has assigned; None: unknown.

    Attributes:
        removed: It was asked for because LiveKit removed the agent for another holder of its identity.
    """

    epoch: int | None
    removed: bool = False


@dataclass(frozen=True, slots=True)
class Died:
    """The worker's process has exited."""


CallEvent: TypeAlias = WorkerTaken | Prepared | NoWorkerInTime | Said | Looked | EndAsked | LastEpoch | Died


# --- effects


@dataclass(frozen=True, slots=True)
class Send:
    message: ToWorker


@dataclass(frozen=True, slots=True)
class SendGo:
    past: Past | None


@dataclass(frozen=True, slots=True)
class Kill:
    """SIGKILL after so many seconds."""

    after_s: float = 0.0


@dataclass(frozen=True, slots=True)
class AskLastEpoch:
    """`LastEpoch(removed=True)` answers."""


@dataclass(frozen=True, slots=True)
class Release:
    """Release the slot: the job, or the prejoined room, has ended."""


@dataclass(frozen=True, slots=True)
class TellReady:
    pid: int
    stage_ms: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class TellHeard:
    stage_ms: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class TellStarted:
    pass


@dataclass(frozen=True, slots=True)
class TellTurn:
    """`over`: the stage that broke the latency budget; empty: none did."""

    turn: Turn
    budget_ms: int = 0
    over_budget: str = ""


@dataclass(frozen=True, slots=True)
class TellTool:
    call: ToolCall


@dataclass(frozen=True, slots=True)
class TellFault:
    """`ms`: how long the fault lasted; None: it has not ended. `detail`: the error's name.

    `again_ms`: how much the agent said again, which the caller missed.
    """

    n: int
    provider: str
    kind: str
    ms: int | None
    detail: str = ""
    again_ms: int = 0


@dataclass(frozen=True, slots=True)
class TellTick:
    served_ms: int
    fault_ms: int


@dataclass(frozen=True, slots=True)
class TellStopped:
    cause: str
    served_ms: int
    fault_ms: int


@dataclass(frozen=True, slots=True)
class Log:
    event: str
    fields: Mapping[str, Any]
    level: Literal["info", "warning", "error"] = "info"


Tell: TypeAlias = TellReady | TellHeard | TellStarted | TellTurn | TellTool | TellFault | TellTick | TellStopped
"""An event of the session's log."""

CallEffect: TypeAlias = Send | SendGo | Kill | AskLastEpoch | Release | Tell | Log
