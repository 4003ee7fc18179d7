"""What the key-value buckets hold: who is alive, and what runs."""

from typing import Any, Final

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from contracts.ids import NodeId, SessionId


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True)


class NodeJob(_Entry):
    """One job that a node holds."""

    session_id: SessionId
    epoch: int = Field(ge=1)
    pid: int = Field(ge=0, description="0 while the worker's process is not known yet")


class NodeState(_Entry):
    """Bucket `nodes`, key = node id: renewed each second and at each change, gone 4 s after the last renewal."""

    node_id: NodeId
    incarnation: str = Field(
        default="",
        pattern=r"^[a-z0-9]{0,32}$",
        description="the process: of two with one node id the second refuses to start; empty in former versions",
    )
    region: str | None = None
    slots: int = Field(ge=1, description="jobs this node can hold at once")
    warm: int = Field(ge=0, description="idle workers with a pipeline built")
    busy: int = Field(ge=0, description="jobs held now")
    draining: bool = False
    load: float = Field(ge=0, description="share of the CPU in use, 0..1")
    pid: int = Field(ge=1, description="the supervisor's process")
    processes: int = Field(ge=0, description="processes of this node that live, the supervisor among them")
    started_at: AwareDatetime
    jobs: tuple[NodeJob, ...] = ()
    rooms: tuple[SessionId, ...] = Field(
        default=(), description="rooms in which a worker waits for its job, taken ones whose job has not come yet too"
    )

    @property
    def address(self) -> str:
        """How commands reach this very process: for `subjects.node_command`."""
        return f"{self.node_id}~{self.incarnation}" if self.incarnation else self.node_id

    @property
    def free_slots(self) -> int:
        """Jobs that still fit."""
        return max(0, self.slots - self.busy)


class Slot(_Entry):
    """Bucket `slots`, keys 0 .. MAX_BOTS-1: the session that owns this share of the global bound."""

    session_id: SessionId
    taken_at: AwareDatetime


class PrejoinedRoom(_Entry):
    """Bucket `prejoined`, key = session id: a room with an agent in it, there for the next start.

    The one that deletes the key at its revision has the room. Renewed every 5 s, gone 15 s after the last renewal.
    """

    session_id: SessionId
    node_id: NodeId
    region: str | None = None
    joined_at: AwareDatetime
    expires_at: AwareDatetime = Field(description="when its node puts it away")


class Leader(_Entry):
    """Bucket `leaders`, key = the role: who holds it."""

    holder: str


class Seat(_Entry):
    """Bucket `seats`, key = a session id of the client's choice: the user who first asked for it.

    Only this user gets the caller's token before the start, and only this user's start is accepted.
    """

    user: str


class IdempotentStart(_Entry):
    """Bucket `idempotency`: the session that a start's request key was answered with."""

    session_id: SessionId
    body_sha256: str


class IdempotentReply(_Entry):
    """Bucket `idempotency`: what the request key of an end or a drain was answered with."""

    body_sha256: str
    reply: dict[str, Any] | None = Field(default=None, description="the answer; None until the request was carried out")


class QueueState(_Entry):
    """Bucket `queue`: the starts that wait, as the leading scheduler knew them."""

    waiting: int = Field(ge=0, description="starts that no node has yet")
    max_queue: int = Field(ge=0, description="MAX_QUEUE: as many may wait")
    seq: int = Field(ge=0, description="of the stream SESSIONS: every start up to here is counted")
    log_is_full: bool = Field(
        default=False, description="what another call writes could push out of SESSIONS what is not settled: no start"
    )


QUEUE_KEY: Final = "starts"
