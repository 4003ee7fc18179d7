"""What the scheduler needs from outside; every call raises `Unavailable` when its deadline expires."""

from asyncio import Event as Signal
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from contracts.commands import AssignJob, EndJob, JobDescribed, JobEnded, PrejoinRoom
from contracts.events import Event, SessionRequested
from contracts.registry import NodeState, QueueState, Slot
from contracts.room_events import RoomEvent
from scheduler.domain.log_room import BillingPosition, StoreUse
from scheduler.domain.prejoining import ListedRoom
from scheduler.domain.session import Recorded


class Unavailable(Exception):
    """An outside system did not answer by the deadline; retry the step later."""


class WriteRefused(Unavailable):
    """NATS refuses the message, or does not permit this user its subject; a later try is refused, too."""


class WordsLost(Exception):
    """The key of a session's words is gone or does not open them; no later try can succeed."""


class Outrun(Exception):
    """A compare-and-set lost against another writer; read again, then decide again."""


UNREADABLE = "unreadable"
"""The session id of an unreadable slot; no real session has it."""

NO_RESPONDER = "no_responder"
NO_ANSWER = "no_answer"


class NotAccepted(Exception):
    """A node did not accept a job: it refused, or did not answer.

    Attributes:
        reason: The node's code, NO_RESPONDER or NO_ANSWER.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class NodeSilent(Exception):
    """A node let the deadline of a command expire."""


class Outranked(Exception):
    """A node refused our command because it obeys a leader of a later term.

    Attributes:
        term: That leader's term.
    """

    def __init__(self, term: int) -> None:
        super().__init__(f"a leader of term {term} commands")
        self.term = term


class Leadership(Protocol):
    """The lease under which this process leads."""

    @property
    def term(self) -> int:
        """The term that each command to a node carries; it grows with each gain of the lease."""
        ...

    async def outbid(self, term: int) -> bool:
        """Raise our term above one that a node has heard; False if the lease cannot be confirmed as ours."""
        ...


@dataclass(frozen=True, slots=True)
class RoomRecord:
    """One message of the stream ROOMS."""

    event: RoomEvent
    stored_ms: int


@dataclass(frozen=True, slots=True)
class HeldSlot:
    """A slot with the revision that its deletion needs.

    Attributes:
        slot: None when this version cannot parse it; a newer version may have written it for a running session.
        stored_ms: When it was written, on the bus' clock.
    """

    slot: Slot | None
    revision: int
    stored_ms: int = 0

    @property
    def session_id(self) -> str:
        """The session that holds it; UNREADABLE if that is unknown."""
        return UNREADABLE if self.slot is None else self.slot.session_id

    @property
    def taken_ms(self) -> int:
        """When it was taken, Unix ms; of an unreadable slot, when it was written."""
        return self.stored_ms if self.slot is None else round(self.slot.taken_at.timestamp() * 1000)


@dataclass(frozen=True, slots=True)
class LogTail:
    """Sequences of the stream SESSIONS.

    Attributes:
        seq: Of the last message; no `requested` lies between `last_request_seq` and it.
        last_request_seq: Of the last `requested`; 0 for none.
    """

    seq: int
    last_request_seq: int


@dataclass(frozen=True, slots=True)
class Room:
    """A LiveKit room.

    Attributes:
        created_ms: Unix ms on LiveKit's clock, whole seconds.
        deployment: The deployment named in its metadata; None: none is named.
    """

    name: str
    sid: str
    created_ms: int
    deployment: str | None = None


R = TypeVar("R", covariant=True)


class Feed(Protocol[R]):
    """Records of a stream in order; the iteration never ends."""

    @property
    def caught_up(self) -> Signal:
        """Set once every record that existed at the start has been handled."""
        ...

    def __aiter__(self) -> AsyncIterator[R]: ...


class SessionLog(Protocol):
    """The stream SESSIONS."""

    def follow(self, after_seq: int) -> Feed[Recorded]:
        """Every lifecycle event (no ticks, no turns) after that sequence."""
        ...

    def follow_rooms(self, since_ms: int) -> Feed[RoomRecord]:
        """LiveKit's webhooks from that time on."""
        ...

    async def requested_since(self, since_ms: int) -> frozenset[str]:
        """Sessions whose `requested` was stored at or after that time, Unix ms."""
        ...

    async def unfinished(self) -> frozenset[str]:
        """Sessions with a `requested` and no `ended` in the whole log; may take a second."""
        ...

    async def lifecycles(self, session_ids: Sequence[str]) -> Sequence[Recorded]:
        """The lifecycle events of these sessions up to now."""
        ...

    async def history(self, session_id: str) -> Sequence[Recorded]:
        """Every event of one session up to now."""
        ...

    async def begins_ms(self) -> int:
        """Since when the log is complete, Unix ms; older messages may have been deleted."""
        ...

    async def made_ms(self) -> int:
        """When the log's stream was made, Unix ms: another time means another log, after a lost store."""
        ...

    async def append(self, event: Event, *, expect_last: int | None = None) -> Recorded:
        """Publish, and return the log's record of this fact: ours, or the same fact by another writer.

        Args:
            expect_last: Expected sequence of the last event of this kind and session; 0: none; None: any.

        Raises:
            Outrun: The log holds another fact there.
        """
        ...

    async def tail(self) -> "LogTail": ...

    async def clock(self) -> tuple[int, int]:
        """The present time of the clock that stamps the log, Unix ms, and the log's last sequence."""
        ...


class Stores(Protocol):
    """All streams and buckets, and billing's position in the log."""

    async def uses(self) -> Sequence[StoreUse]:
        """The use of each; a missing one is left out."""
        ...

    async def billing(self) -> BillingPosition | None:
        """Billing's position; None: billing has never run here."""
        ...


class QueueMirror(Protocol):
    """The bucket `queue`, which the gateways follow."""

    async def report(self, state: QueueState) -> None: ...


class Words(Protocol):
    """The words of a session's request, which the log holds sealed, and their secret. Methods raise `Unavailable`."""

    def expect(self, requested: SessionRequested) -> None:
        """Begin to read the secret: `open` needs it in a moment."""
        ...

    async def open(self, requested: SessionRequested) -> tuple[SessionRequested, str]:
        """The request with its words, and the session's secret; empty: the words were in the clear.

        Raises:
            WordsLost: No secret opens them: an agent without its prompt must not run.
        """
        ...

    def ended(self, session_id: str) -> None:
        """Delete the secret of an ended session from memory: the session may be erased."""
        ...

    async def write_again(self, requested: SessionRequested, secret: str) -> SessionRequested:
        """Write the secret to a bucket that has lost it; returns the request with its words sealed.

        Args:
            secret: Empty: the one that `open` has read.
        """
        ...


class Slots(Protocol):
    """The bucket `slots`."""

    async def held(self) -> dict[int, HeldSlot]:
        """The held slots by key."""
        ...

    async def take(self, key: int, slot: Slot) -> None:
        """Create the key; idempotent for the same session.

        Raises:
            Outrun: Another session holds it.
        """
        ...

    async def release(self, key: int, session_id: str) -> None:
        """Delete the key if this session holds it."""
        ...

    async def sweep(self, key: int, held: HeldSlot) -> None:
        """Delete the key if its revision is still the one that was read."""
        ...


class Nodes(Protocol):
    """The bucket `nodes`, and the commands to its nodes."""

    async def prepare(self) -> None:
        """Recreate the bucket in memory if a former version left it in files; the nodes register again."""
        ...

    async def watch(self, changed: Callable[[str, NodeState | None], None], caught_up: Signal) -> None:
        """Report every node and every change, beginning with the present state; runs until cancelled.

        Args:
            changed: Gets None when a node's key is gone.
            caught_up: Set once the present state has been reported.
        """
        ...

    async def find(self, node_id: str) -> NodeState | None:
        """The node's present entry, from the leader of the bucket's stream."""
        ...

    async def answers(self, node_id: str) -> bool:
        """Whether the node answers a command that changes nothing, within NODE_PROBE_S."""
        ...

    async def assign(self, node_id: str, job: AssignJob) -> None:
        """Hand a job to a node.

        Raises:
            NotAccepted: The node refused, or did not answer.
            Outranked: The node obeys a later leader.
        """
        ...

    async def prejoin(self, node_id: str, order: PrejoinRoom) -> None:
        """Have a warm worker of the node join a room and wait there.

        Raises:
            NotAccepted: The node refused, or did not answer.
        """
        ...

    async def describe(self, node_id: str, session_id: str, epoch: int) -> JobDescribed | None:
        """Have a node report a running job to the log again; None: no such node, or it does not know the job.

        Raises:
            NodeSilent: It did not answer within DESCRIBE_REPLY_S.
        """
        ...

    async def end(self, node_id: str, job: EndJob) -> JobEnded | None:
        """Stop a job; None: the node did not answer in time, or failed.

        Raises:
            Outranked: The node obeys a later leader.
        """
        ...


class PrejoinedRooms(Protocol):
    """The bucket `prejoined`."""

    async def watch(self, changed: Callable[[str, ListedRoom | None], None], caught_up: Signal) -> None:
        """Report every room and every change, beginning with the present state; runs until cancelled.

        Args:
            changed: Gets None when a room's key is gone.
            caught_up: Set once the present state has been reported.
        """
        ...

    async def retire(self, room: ListedRoom) -> None:
        """Delete the room's key, unless a start has claimed it."""
        ...


class Rooms(Protocol):
    """LiveKit. All names are session ids."""

    async def list(self, names: Sequence[str] | None = None) -> list[Room]:
        """The existing rooms, all or those with these names."""
        ...

    async def create(self, name: str) -> None:
        """Create the room with the gateway's shape; an existing room is not changed."""
        ...

    async def delete(self, name: str) -> None:
        """Delete the room; idempotent."""
        ...

    async def identities(self, name: str) -> dict[str, str]:
        """The participants with media in the room: identity -> LiveKit's participant sid."""
        ...

    def agent_token(self, session_id: str, epoch: int) -> str:
        """The agent's token for one epoch; it allows only to join this room, publish a microphone and subscribe."""
        ...
