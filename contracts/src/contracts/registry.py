"""The values in the key-value buckets: live nodes, running sessions, leases."""

from typing import Any, Final

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from contracts.ids import NodeId, SessionId


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True)


class NodeJob(_Entry):
    """One job on a node."""

    session_id: SessionId
    epoch: int = Field(ge=1)
    pid: int = Field(ge=0, description="the worker's process; 0 until it is known")


class NodeState(_Entry):
    """Bucket `nodes`, key = node id: renewed each second and at each change; expires 4 s after the last renewal."""

    node_id: NodeId
    incarnation: str = Field(
        default="",
        pattern=r"^[a-z0-9]{0,32}$",
        description="identifies the process: a second process with the same node id refuses to start. "
        "Older versions leave it empty",
    )
    region: str | None = None
    slots: int = Field(ge=1, description="jobs that this node can run at once")
    warm: int = Field(ge=0, description="idle workers with a built pipeline")
    busy: int = Field(ge=0, description="jobs that it runs now")
    draining: bool = False
    drain_since: AwareDatetime | None = Field(
        default=None,
        description="when a draining node stopped taking jobs, by its own clock; older versions leave it out",
    )
    drain_until: AwareDatetime | None = Field(
        default=None, description="when a draining node hands over the calls that still run, by its own clock"
    )
    version: str = Field(default="", max_length=64, description="of the node's software; older versions leave it empty")
    load: float = Field(ge=0, description="share of the CPU in use, 0..1")
    pid: int = Field(ge=1, description="the supervisor's process")
    processes: int = Field(ge=0, description="live processes of this node, including the supervisor")
    started_at: AwareDatetime
    jobs: tuple[NodeJob, ...] = ()
    rooms: tuple[SessionId, ...] = Field(
        default=(), description="prejoined rooms, including claimed ones whose job has not arrived yet"
    )
    opens_words: bool = Field(default=False, description="the node seals and opens words; older versions do not")

    @property
    def address(self) -> str:
        """The address of this process, for `subjects.node_command`."""
        return f"{self.node_id}~{self.incarnation}" if self.incarnation else self.node_id

    @property
    def free_slots(self) -> int:
        return max(0, self.slots - self.busy)


class Slot(_Entry):
    """Bucket `slots`, keys 0 .. MAX_BOTS-1: the session that owns this slot."""

    session_id: SessionId
    taken_at: AwareDatetime


class PrejoinedRoom(_Entry):
    """Bucket `prejoined`, key = session id: a room with an agent in it, for the next start.

    A gateway claims the room by deleting the key at its revision. The node renews the key every 5 s; the key expires
    15 s after the last renewal.
    """

    session_id: SessionId
    node_id: NodeId
    region: str | None = None
    joined_at: AwareDatetime
    expires_at: AwareDatetime = Field(description="time at which the node retires the room")


class Leader(_Entry):
    """Bucket `leaders`, key = role: the process that holds it."""

    holder: str


class Seat(_Entry):
    """Bucket `seats`, key = a session id that a client chose: the user who first asked for it.

    Before the start, only this user gets the caller's token. Only this user's start is accepted.
    """

    user: str


class WordsKey(_Entry):
    """Bucket `keys`, key = session id: the secret that opens the words in the session's events.

    Erasing a session overwrites its secret on NATS' disk, then stores an empty one, so that its id gets no new secret.
    """

    secret: str = Field(default="", description="256 random bits as base64; empty: the words are erased")
    at: AwareDatetime


class IdempotentStart(_Entry):
    """Bucket `idempotency`: the session that a start with this request key created."""

    session_id: SessionId
    body_sha256: str


class IdempotentReply(_Entry):
    """Bucket `idempotency`: the reply to an end or a drain with this request key."""

    body_sha256: str
    reply: dict[str, Any] | None = Field(default=None, description="None until the request was carried out")


class QueueState(_Entry):
    """Bucket `queue`: the waiting starts, as the leading scheduler sees them."""

    waiting: int = Field(ge=0, description="starts without a node")
    max_queue: int = Field(ge=0, description="MAX_QUEUE, the limit of waiting starts")
    seq: int = Field(ge=0, description="sequence in the stream SESSIONS up to which starts are counted")
    log_is_full: bool = Field(
        default=False,
        description="refuse starts: the events of another call could push unsettled events out of SESSIONS",
    )
    opens_words: bool = Field(
        default=False, description="the leading scheduler reads sealed words; older versions do not"
    )
    restored_ms: int | None = Field(
        default=None,
        description="creation time, Unix ms, of the stream SESSIONS that the leading scheduler has fully restored; "
        "0: not yet; null: an older version",
    )


QUEUE_KEY: Final = "starts"
