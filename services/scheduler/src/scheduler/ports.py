"""What the scheduler needs from the world, in its own words; each call raises `Unavailable` at its deadline."""

from asyncio import Event as Signal
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from contracts.commands import AssignJob, EndJob, JobDescribed, JobEnded, PrejoinRoom
from contracts.events import Event, RoomEvent
from contracts.registry import NodeState, PrejoinedRoom, QueueState, Slot

from scheduler.domain.log_room import BillingPlace
from scheduler.domain.session import Recorded


class Unavailable(Exception):
    """Something outside did not answer by the deadline; the step is repeated later."""


class Outrun(Exception):
    """A compare-and-set lost: somebody else wrote first; read again, then decide anew."""


UNREADABLE = "unreadable"
"""Stands for the session of an unreadable slot; no session has this id."""

NO_RESPONDER = "no_responder"
NO_ANSWER = "no_answer"


class NotTaken(Exception):
    """A node did not take a job: it refused, or did not answer.

    Attributes:
        reason: The node's code, NO_RESPONDER or NO_ANSWER.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Outranked(Exception):
    """A node has heard a leader of a later term, and refuses our command.

    Attributes:
        term: That leader's.
    """

    def __init__(self, term: int) -> None:
        super().__init__(f"a leader of term {term} commands")
        self.term = term


class Leadership(Protocol):
    """The lease under which this process leads."""

    @property
    def term(self) -> int:
        """Grows with each gain of the lease; it stands in each command to a node."""
        ...

    async def outbid(self, term: int) -> bool:
        """Raise ours above that term, which a node has heard; False where the lease is not confirmed to be ours."""
        ...


@dataclass(frozen=True, slots=True)
class RoomRecord:
    """One message of the stream ROOMS."""

    event: RoomEvent
    stored_ms: int


@dataclass(frozen=True, slots=True)
class HeldSlot:
    """A slot with its revision, without which it cannot be freed.

    Attributes:
        slot: None when this version cannot read it: perhaps a newer one wrote it, and a session runs in it.
        stored_ms: When it was written, on the bus' clock.
    """

    slot: Slot | None
    revision: int
    stored_ms: int = 0

    @property
    def session_id(self) -> str:
        """The session that holds it; UNREADABLE for a slot that cannot be read."""
        return UNREADABLE if self.slot is None else self.slot.session_id


@dataclass(frozen=True, slots=True)
class LogTail:
    """Sequences of the stream SESSIONS.

    Attributes:
        seq: Of the last message; every `requested` up to it is at or before `last_request_seq`.
        last_request_seq: Of the last `requested`; 0 for none.
    """

    seq: int
    last_request_seq: int


@dataclass(frozen=True, slots=True)
class Room:
    """A LiveKit room.

    Attributes:
        created_ms: Unix ms on LiveKit's clock, whole seconds.
        deployment: Whose it is; None: it does not say.
    """

    name: str
    sid: str
    created_ms: int
    deployment: str | None = None


R = TypeVar("R", covariant=True)


class Feed(Protocol[R]):
    """Records of a stream, in order, without end."""

    @property
    def caught_up(self) -> Signal:
        """Set once everything that was there has been handed out and dealt with."""
        ...

    def __aiter__(self) -> AsyncIterator[R]: ...


class SessionLog(Protocol):
    """The stream SESSIONS."""

    def follow(self, after_seq: int) -> Feed[Recorded]:
        """Every lifecycle event (no ticks, no turns) behind that sequence, without end."""
        ...

    def follow_rooms(self, since_ms: int) -> Feed[RoomRecord]:
        """LiveKit's webhooks from that time on, without end."""
        ...

    async def requested_since(self, since_ms: int) -> frozenset[str]:
        """The sessions whose `requested` was stored at or after that time."""
        ...

    async def unfinished(self) -> frozenset[str]:
        """The sessions that have a `requested` and no `ended`, over the whole log; may take a second."""
        ...

    async def lifecycles(self, session_ids: Sequence[str]) -> Sequence[Recorded]:
        """The lifecycle events of these sessions, complete up to now."""
        ...

    async def history(self, session_id: str) -> Sequence[Recorded]:
        """Every event of one session, complete up to now."""
        ...

    async def begins_ms(self) -> int:
        """Since when the log is whole, Unix ms: whatever was stored earlier may be gone."""
        ...

    async def append(self, event: Event, *, expect_last: int | None = None) -> Recorded:
        """Publish, and return what stands in the log for this fact: ours, or the same fact that another wrote first.

        Args:
            expect_last: Sequence of the last event of this kind and session; 0 for none; None does not ask.

        Raises:
            Outrun: Another fact stands there.
        """
        ...

    async def tail(self) -> "LogTail":
        """Where the log ends now."""
        ...

    async def clock(self) -> tuple[int, int]:
        """The clock that stamps the log now, Unix ms, and the sequence of the log's last message."""
        ...


@dataclass(frozen=True, slots=True)
class StoreUse:
    """How full one stream is.

    Attributes:
        max_bytes: Its bound; 0 for none.
        oldest_s: When its oldest message was stored, Unix seconds; None where it is empty.
    """

    name: str
    bytes: int
    max_bytes: int
    messages: int
    oldest_s: float | None
    first_seq: int
    last_seq: int
    consumers: int


class Stores(Protocol):
    """All streams and buckets, and billing's place in the log."""

    async def uses(self) -> Sequence[StoreUse]:
        """How full each is; one that is missing now is left out."""
        ...

    async def billing(self) -> BillingPlace | None:
        """How far billing has read the log; None: it has never been here."""
        ...


class QueueMirror(Protocol):
    """The bucket `queue`, which the gateways follow."""

    async def report(self, state: QueueState) -> None:
        """Replace the report."""
        ...


class Slots(Protocol):
    """The bucket `slots`."""

    async def held(self) -> dict[int, HeldSlot]:
        """All that are held."""
        ...

    async def take(self, key: int, slot: Slot) -> None:
        """Create the key. Taking it again for the same session is fine.

        Raises:
            Outrun: It is another session's.
        """
        ...

    async def free(self, key: int, session_id: str) -> None:
        """Delete the key if it is this session's; otherwise nothing."""
        ...

    async def sweep(self, key: int, held: HeldSlot) -> None:
        """Delete the key if it still is as it was read."""
        ...


class Nodes(Protocol):
    """The bucket `nodes`, and the commands to its nodes."""

    async def prepare(self) -> None:
        """Make the bucket anew, empty, if a former version left it in files; the nodes write themselves into it."""
        ...

    async def watch(self, changed: Callable[[str, NodeState | None], None], caught_up: Signal) -> None:
        """Tell each node and each change of one, from the present state on, for ever; None: its key is gone.

        Args:
            caught_up: Set once the present state has been told.
        """
        ...

    async def find(self, node_id: str) -> NodeState | None:
        """The node's entry now, from the leader of its stream."""
        ...

    async def answers(self, node_id: str) -> bool:
        """Whether the node answers a command that changes nothing, within a moment."""
        ...

    async def assign(self, node_id: str, job: AssignJob) -> None:
        """Hand a job to a node.

        Raises:
            NotTaken: It refused, or did not answer.
            Outranked: It obeys a later leader.
        """
        ...

    async def prejoin(self, node_id: str, order: PrejoinRoom) -> None:
        """Have a worker of the node wait in a room.

        Raises:
            NotTaken: It refused, or did not answer.
        """
        ...

    async def describe(self, node_id: str, session_id: str, epoch: int) -> JobDescribed | None:
        """Have a node report a running job to the log again; None: it did not, or holds no such job."""
        ...

    async def end(self, node_id: str, job: EndJob) -> JobEnded | None:
        """Stop a job; None: the node did not answer in time, or could not.

        Raises:
            Outranked: It obeys a later leader.
        """
        ...


@dataclass(frozen=True, slots=True)
class ListedRoom:
    """A room joined ahead with the revision of its key, without which it cannot be taken back."""

    room: PrejoinedRoom
    revision: int


class PrejoinedRooms(Protocol):
    """The bucket `prejoined`."""

    async def watch(self, changed: Callable[[str, ListedRoom | None], None], caught_up: Signal) -> None:
        """Tell each room and each change of one, from the present state on, for ever; None: gone.

        Args:
            caught_up: Set once the present state has been told.
        """
        ...

    async def withdraw(self, room: ListedRoom) -> None:
        """Delete the room's key, unless somebody has it by now."""
        ...


class Rooms(Protocol):
    """LiveKit. All names are session ids."""

    async def list(self, names: Sequence[str] | None = None) -> list[Room]:
        """The rooms that exist, of these names or all."""
        ...

    async def create(self, name: str) -> None:
        """Create the room, as the gateway does; one that exists stays as it is."""
        ...

    async def delete(self, name: str) -> None:
        """Delete the room; one that is gone is fine."""
        ...

    async def identities(self, name: str) -> dict[str, str]:
        """Whose media is up in the room: identity -> LiveKit's id of that stay."""
        ...

    def agent_token(self, session_id: str, epoch: int) -> str:
        """The agent's token for one epoch: join this room, publish a microphone, subscribe; nothing else."""
        ...
