"""Commands: NATS requests with typed replies. Each is idempotent by session and epoch."""

from dataclasses import dataclass, replace
from functools import cache
from typing import Annotated, Any, Final, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from contracts import subjects
from contracts.events import Epoch, FaultMs, Minutes, Ms
from contracts.ids import NodeId, SessionId
from contracts.tools import RecordedTool


class _Message(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


Term = Annotated[
    int,
    Field(
        ge=0,
        description="the term of the scheduler that sends the command; grows with each change of leader. A node refuses"
        " a term below the greatest that it has received. 0: an older scheduler, which sends no term",
    ),
]


class CommandFailed(_Message):
    """The reply when a command fails. A responder always answers, so a caller never has to wait for its timeout."""

    ok: Literal[False] = False
    code: str = Field(description="a `RefusalCode`, or the code of a problem")
    detail: str
    retryable: bool = False
    term: int | None = Field(default=None, ge=0, description="with `stale_term`: the greatest term received so far")


class _Job(_Message):
    """What a node must know of a session to run its agent."""

    user_name: str
    user_id: str
    user_id_derived: bool = Field(default=False, description="as in `requested`")
    voice_id: str
    opening_line: str
    system_prompt: str
    language: str | None = Field(default=None, description="as in `requested`")
    end_call: bool = Field(default=False, description="as in `requested`")
    interruptible: bool | None = Field(default=None, description="as in `requested`")
    tools: tuple[RecordedTool, ...] = ()
    served_ms_before: Ms = 0
    billable_ms_before: Ms | None = Field(default=None, description="as in `assigned`")
    granted_minutes: Minutes | None = Field(
        default=None,
        description="as in `assigned`: the node ends the call as `credit_spent` 500 ms before the grant runs out",
    )


class AssignJob(_Job):
    """`voice.v1.node.<node_id>.assign`: run the session's agent in this epoch."""

    session_id: SessionId
    epoch: Epoch
    url: str = Field(description="LiveKit's URL, ws or wss")
    token: str = Field(description="the agent's LiveKit token, minted for this epoch")
    takeover: bool = Field(default=False, description="True: rebuild the context from the log and say a bridge line")
    farewell: bool = Field(
        default=False, description="True: join, say that the call cannot continue, and leave; adds no served time"
    )
    words_key: str = Field(
        default="",
        description="opens the words in the session's events, and seals them; empty: leave them in the clear. The"
        " fields of this command are in the clear in any case",
    )
    seals: bool = Field(
        default=True,
        description="False: words_key only opens. The epoch's words stay in the clear, because a node of an older"
        " version may take the call over",
    )
    term: Term = 0


class JobAccepted(_Message):
    """The node accepted the job, or already runs it in this epoch."""

    ok: Literal[True] = True
    node_id: NodeId
    pid: int = Field(ge=0)


class EndJob(_Message):
    """`voice.v1.node.<node_id>.end`: end this epoch's job now; the node fixes the served time at this instant."""

    session_id: SessionId
    epoch: Epoch
    reason: str = Field(description="an end reason; `superseded`: a newer epoch runs, so the node kills the worker")
    say: str | None = Field(
        default=None, description="last sentence for the caller; the end may then take 5 s, else 2 s"
    )
    term: Term = 0


class JobEnded(_Message):
    """The epoch's worker process has exited."""

    ok: Literal[True] = True
    found: bool = Field(description="False: this node does not have the job")
    served_ms: Ms
    fault_ms: FaultMs = 0
    process_gone: bool


class DrainNode(_Message):
    """`voice.v1.node.<node_id>.drain`: accept no new job; running calls may continue for `limit_s`."""

    limit_s: float = Field(gt=0)


class NodeDraining(_Message):
    """The node accepts no new job."""

    ok: Literal[True] = True
    jobs: int = Field(ge=0)


class PrejoinRoom(_Message):
    """`voice.v1.node.<node_id>.prejoin`: a warm worker joins this room and waits there for a future session."""

    session_id: SessionId = Field(description="id of the future session, and name of the room, which already exists")
    url: str = Field(description="LiveKit's URL, ws or wss")
    token: str = Field(description="the agent's LiveKit token, minted for the first epoch")
    max_age_s: float = Field(gt=0, description="age at which the node retires the prejoined room")


class RoomPrejoined(_Message):
    """A worker is in the room, and the bucket `prejoined` has the room's key."""

    ok: Literal[True] = True
    node_id: NodeId
    pid: int = Field(ge=1)


class DescribeJob(_Message):
    """`voice.v1.node.<node_id>.describe`: report this epoch to the log again, and reply with the job.

    The scheduler sends it when the log lost the first events of a session whose agent still runs.
    """

    session_id: SessionId
    epoch: Epoch


class JobDescribed(_Job):
    """The fields of the job's `assign`; the log again has the events that the node reported for this epoch."""

    ok: Literal[True] = True
    words_key: str = Field(default="", description="as in `assign`")
    age_ms: Ms = Field(
        default=0, description="time since the node accepted the job, on its monotonic clock; 0: an older node"
    )


class ReserveCredit(_Message):
    """`voice.v1.billing.reserve`: hold the first minute for a session that is about to start."""

    session_id: SessionId
    user_id: str


class GrantCredit(_Message):
    """`voice.v1.billing.grant`: raise the grant to `total_minutes`. The command names the total, so a retry is safe."""

    session_id: SessionId
    user_id: str
    total_minutes: int = Field(ge=1)


class CreditGranted(_Message):
    """The session's grant, over all its epochs."""

    ok: Literal[True] = True
    granted_minutes: int | None = Field(ge=0, description="None: post-paid, unlimited")


Request = TypeVar("Request", bound=BaseModel)
Reply = TypeVar("Reply", bound=BaseModel)


@dataclass(frozen=True)
class Command(Generic[Request, Reply]):
    """A command: its subject and its shapes.

    Attributes:
        subject: `{node_id}` stands for a node's address until `at` replaces it.
        reply: Shape of the reply of a command that succeeded; `CommandFailed` may come instead.
    """

    subject: str
    request: type[Request]
    reply: type[Reply]
    sender: str = "scheduler"
    receiver: str = "agent-runner"

    @property
    def answer(self) -> TypeAdapter[Reply | CommandFailed]:
        """Reads the reply."""
        return _answer(self.reply)

    def at(self, address: str) -> "Command[Request, Reply]":
        """The command to one node; `address` is `NodeState.address`."""
        return replace(self, subject=self.subject.replace("{node_id}", address))


@cache
def _answer(reply: type[Any]) -> TypeAdapter[Any]:
    return TypeAdapter(answer_shape(reply))


def answer_shape(reply: type[Any]) -> Any:
    """The type of a command's reply: success or failure, told apart by `ok`."""
    return Annotated[reply | CommandFailed, Field(discriminator="ok")]


def _subject(command: str) -> str:
    return subjects.node_command("{node_id}", command)


ASSIGN: Final = Command(_subject("assign"), AssignJob, JobAccepted)
END: Final = Command(_subject("end"), EndJob, JobEnded)
PREJOIN: Final = Command(_subject("prejoin"), PrejoinRoom, RoomPrejoined)
DESCRIBE: Final = Command(_subject("describe"), DescribeJob, JobDescribed)
DRAIN: Final = Command(_subject("drain"), DrainNode, NodeDraining, sender="gateway")
RESERVE: Final = Command(subjects.BILLING_RESERVE, ReserveCredit, CreditGranted, sender="gateway", receiver="billing")
GRANT: Final = Command(subjects.BILLING_GRANT, GrantCredit, CreditGranted, sender="agent-runner", receiver="billing")

COMMANDS: Final[tuple[Command[Any, Any], ...]] = (ASSIGN, END, PREJOIN, DESCRIBE, DRAIN, RESERVE, GRANT)
