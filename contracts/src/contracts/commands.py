"""Commands: NATS requests with typed replies; each is idempotent by session and epoch."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from contracts.events import Epoch, FaultMs, Minutes, Ms
from contracts.ids import NodeId, SessionId
from contracts.tools import RecordedTool

STALE_TERM = "stale_term"
"""The code of `CommandFailed` with which a node refuses a scheduler that no longer leads."""


class _Message(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


Term = Annotated[
    int,
    Field(
        ge=0,
        description="of the scheduler that commands: grows with each change of the leader; a node refuses a smaller one"
        " than it has heard; 0: a scheduler that does not say",
    ),
]


class CommandFailed(_Message):
    """The reply of a command that could not be carried out: every responder answers, none lets the caller wait."""

    ok: Literal[False] = False
    code: str
    detail: str
    retryable: bool = False
    term: int | None = Field(default=None, ge=0, description="with `stale_term`: the greatest term that was heard")


class AssignJob(_Message):
    """`voice.v1.node.<node_id>.assign`: run this session's agent as this epoch."""

    session_id: SessionId
    epoch: Epoch
    url: str = Field(description="LiveKit's URL, ws or wss")
    token: str = Field(description="the agent's LiveKit token, minted for this epoch")
    user_name: str
    user_id: str
    voice_id: str
    opening_line: str
    system_prompt: str
    tools: tuple[RecordedTool, ...] = ()
    served_ms_before: Ms = 0
    billable_ms_before: Ms | None = Field(default=None, description="as in `assigned`")
    granted_minutes: Minutes | None = Field(
        default=None,
        description="as in `assigned`: the node ends the call as `credit_spent` 500 ms before it is used up",
    )
    takeover: bool = Field(default=False, description="True: rebuild the context from the log and say a bridge line")
    farewell: bool = Field(
        default=False, description="True: join, say that the call cannot go on, and leave; nothing of it is served time"
    )
    term: Term = 0


class JobAccepted(_Message):
    """The node took the job, or holds it already in this epoch."""

    ok: Literal[True] = True
    node_id: NodeId
    pid: int = Field(ge=0)


class EndJob(_Message):
    """`voice.v1.node.<node_id>.end`: stop this epoch's agent now; the served time is fixed at this instant."""

    session_id: SessionId
    epoch: Epoch
    reason: str
    say: str | None = Field(default=None, description="a last sentence; the end then may take 5 s, else 2 s")
    term: Term = 0


class JobEnded(_Message):
    """The epoch's process is gone."""

    ok: Literal[True] = True
    found: bool = Field(description="False: this node holds no such job")
    served_ms: Ms
    fault_ms: FaultMs = 0
    process_gone: bool


class DrainNode(_Message):
    """`voice.v1.node.<node_id>.drain`: take nothing new, finish what runs within `limit_s`."""

    limit_s: float = Field(gt=0)


class NodeDraining(_Message):
    """The node takes nothing new."""

    ok: Literal[True] = True
    jobs: int = Field(ge=0)


class PrejoinRoom(_Message):
    """`voice.v1.node.<node_id>.prejoin`: have a warm worker wait in this room for a session that is not known yet."""

    session_id: SessionId = Field(description="minted ahead; the room has this name and exists")
    url: str = Field(description="LiveKit's URL, ws or wss")
    token: str = Field(description="the agent's LiveKit token, minted for the first epoch")
    max_age_s: float = Field(gt=0, description="how long the room may wait until it is replaced")


class RoomPrejoined(_Message):
    """A worker is in the room, and the room's key stands in the bucket `prejoined`."""

    ok: Literal[True] = True
    node_id: NodeId
    pid: int = Field(ge=1)


class DescribeJob(_Message):
    """`voice.v1.node.<node_id>.describe`: report this epoch to the log again, and say what the job is.

    Asked where the log lost the beginning of a session whose agent runs on.
    """

    session_id: SessionId
    epoch: Epoch


class JobDescribed(_Message):
    """The job as it was assigned; what the node reported of it stands in the log again."""

    ok: Literal[True] = True
    user_name: str
    user_id: str
    voice_id: str
    opening_line: str
    system_prompt: str
    tools: tuple[RecordedTool, ...] = ()
    served_ms_before: Ms = 0
    billable_ms_before: Ms | None = None
    granted_minutes: Minutes | None = None
    age_ms: Ms = Field(
        default=0, description="since the node took the job, on its own monotonic clock; 0: an older node's"
    )


class ReserveCredit(_Message):
    """`voice.v1.billing.reserve`: hold the first minute for a session about to start."""

    session_id: SessionId
    user_id: str


class GrantCredit(_Message):
    """`voice.v1.billing.grant`: raise the grant to `total_minutes`; naming the total makes a retry harmless."""

    session_id: SessionId
    user_id: str
    total_minutes: int = Field(ge=1)


class CreditGranted(_Message):
    """What the session may be served in all."""

    ok: Literal[True] = True
    granted_minutes: int | None = Field(ge=0, description="None: post-paid, no bound")


AssignReply = Annotated[JobAccepted | CommandFailed, Field(discriminator="ok")]
EndReply = Annotated[JobEnded | CommandFailed, Field(discriminator="ok")]
PrejoinReply = Annotated[RoomPrejoined | CommandFailed, Field(discriminator="ok")]
DescribeReply = Annotated[JobDescribed | CommandFailed, Field(discriminator="ok")]
DrainReply = Annotated[NodeDraining | CommandFailed, Field(discriminator="ok")]
CreditReply = Annotated[CreditGranted | CommandFailed, Field(discriminator="ok")]
