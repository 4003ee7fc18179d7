"""What the gateway needs of the world, in its own words."""

from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, Protocol, TypeVar

from contracts.api import Dependency, SessionBill, UserBill
from contracts.errors import BUS_UNAVAILABLE, LOG_FULL, REDIS_UNAVAILABLE, SESSION_UNREADABLE, Refused
from contracts.events import Event, RoomEvent
from contracts.registry import IdempotentReply, IdempotentStart, NodeState, Slot

from gateway.domain.read_model import SessionState, Status
from gateway.domain.rooms import MadeRoom

E = TypeVar("E", bound=Event)


_RETRY_AFTER_S = 2
_RETRY_AFTER_FULL_S = 30


class BusAway(Refused):
    """NATS did not answer within the deadline."""

    def __init__(self, detail: str, *, session_id: str | None = None) -> None:
        super().__init__(BUS_UNAVAILABLE, detail, retry_after_s=_RETRY_AFTER_S, session_id=session_id)


class StoreFull(BusAway):
    """NATS answers and stores nothing."""

    def __init__(self) -> None:
        Refused.__init__(
            self,
            LOG_FULL,
            "NATS answers, but stores nothing: its disk is full, or was, and it has not been restarted since.",
            retry_after_s=_RETRY_AFTER_FULL_S,
        )


class RecordUnreadable(Refused):
    """The log has the record, and this version cannot read it: the session exists."""

    def __init__(self, session_id: str, event: str) -> None:
        super().__init__(SESSION_UNREADABLE, f"The event `{event}` of session {session_id} cannot be read.")


@dataclass(frozen=True)
class Recorded:
    """One message of the log.

    Attributes:
        seq: Its sequence in the stream.
        event: What it says; None when this version cannot read it.
    """

    seq: int
    event: Event | None


class SessionIdTaken(Exception):
    """The log holds a request of this session id already."""


class SessionLog(Protocol):
    """The stream SESSIONS, and ROOMS for writing. Everything raises `BusAway`, and what writes `log_refused`."""

    async def connected(self) -> None:
        """Wait until there is a connection to NATS."""
        ...

    async def open(self, event: Event) -> int:
        """Publish the first event of its kind for the session; returns its sequence.

        Raises:
            SessionIdTaken: There is one already.
        """
        ...

    async def publish(self, event: Event) -> None:
        """Publish; repeating it is harmless."""
        ...

    async def publish_room_event(self, event: RoomEvent) -> None:
        """Publish a webhook; repeating it is harmless."""
        ...

    async def last(self, event: type[E], session_id: str) -> E | None:
        """The session's last event of that kind.

        Raises:
            RecordUnreadable: There is one, and it cannot be read.
        """
        ...

    async def latest(self, session_id: str) -> Event | None:
        """The session's last event of any kind."""
        ...

    async def history(self, session_id: str) -> list[Event]:
        """The session's whole log, in order."""
        ...

    async def since(self, at: datetime, *events: type[Event]) -> list[Event]:
        """All sessions' events of these kinds that were stored at or after a time."""
        ...

    def follow(
        self, session_id: str, *events: type[Event], since: int | None = None, past: bool = True
    ) -> AbstractAsyncContextManager[AsyncIterator[Event]]:
        """The session's events of these kinds, those of the past and those to come, at least once each.

        Args:
            since: A sequence before which the session has none of them, such as that of its request, if it is known.
            past: False: those that the log has when the block is entered may be left out.
        """
        ...


class LogReader(Protocol):
    """The stream SESSIONS as a whole, for the projector."""

    def read(self, since: int | None, *events: type[Event]) -> AsyncIterator[Sequence[Recorded]]:
        """All sessions' events of these kinds in order, in batches; an empty batch after each quiet second.

        Args:
            since: The first sequence to read; None: the oldest there is.

        Raises:
            BusAway: The connection is over for good.
        """
        ...

    async def history(self, session_id: str) -> list[Event]:
        """One session's whole log, in order.

        Raises:
            BusAway: Not complete by the deadline.
        """
        ...


class Rooms(Protocol):
    """LiveKit's rooms. Everything raises `Refused` (`livekit_unavailable`, `livekit_refused`)."""

    async def create(self, session_id: str) -> MadeRoom:
        """Make the room; LiveKit leaves one that exists as it is."""
        ...

    async def identities(self, session_id: str) -> frozenset[str]:
        """Who is in the room."""
        ...

    async def delete(self, session_id: str) -> None:
        """Close the room; it may be gone."""
        ...

    async def check(self) -> Dependency:
        """Whether LiveKit answers; never raises."""
        ...


class Tokens(Protocol):
    """LiveKit tokens for callers."""

    def mint(self, session_id: str, *, user_id: str, name: str, now: datetime) -> str:
        """A token for the session's room; the same arguments give the same token."""
        ...


class BadSignature(Exception):
    """The webhook is not from a LiveKit server that shares a key with us; the text says what does not hold."""


class WebhookSignature(Protocol):
    """How LiveKit signs its webhooks."""

    def verify(self, body: bytes, authorization: str | None) -> None:
        """Check the signature over the body's bytes as they came.

        Raises:
            BadSignature: It does not hold.
        """
        ...


class Voices(Protocol):
    """The provider's list of voices."""

    async def known(self) -> frozenset[str] | None:
        """The voices; None when the list is not to be had."""
        ...


K = TypeVar("K", IdempotentStart, IdempotentReply)


@dataclass(frozen=True)
class Claim(Generic[K]):
    """A request key with its entry.

    Attributes:
        revision: An entry is replaced by it.
        is_ours: This call wrote the entry; otherwise an earlier request did.
    """

    entry: K
    revision: int
    is_ours: bool = False


class IdempotencyKeys(Protocol):
    """What request keys were used for. Everything raises `BusAway`, and what writes `idempotency_store_full`."""

    async def find(self, name: str, kind: type[K]) -> Claim[K] | None:
        """The key's entry, if there is one."""
        ...

    async def claim(self, name: str, entry: K) -> Claim[K]:
        """Take the key with this entry; where another request was first, its entry is the answer."""
        ...

    async def replace(self, name: str, claim: Claim[K], entry: K) -> Claim[K]:
        """Put another entry in the place of this one; where another request was faster, its entry is the answer."""
        ...


class StartQueue(Protocol):
    """The scheduler's queue, as it was reported last."""

    @property
    def log_is_full(self) -> bool:
        """Whether the scheduler reported that the log has no room for another call."""
        ...

    def may_be_full(self, seq: int | None) -> bool:
        """Whether the scheduler may refuse the start at this sequence of the log; None: at an unknown one."""
        ...


class Seats(Protocol):
    """Which user first asked for a session id of the client's choice. Everything raises `BusAway` and `seats_full`."""

    async def take(self, session_id: str, user: str) -> str:
        """Take the caller's seat; returns the user who has it, this one or an earlier one."""
        ...


class PrejoinedRooms(Protocol):
    """Rooms in which an agent waits already. Nothing raises: a start without one only takes longer."""

    @property
    def ids(self) -> frozenset[str]:
        """The sessions whose rooms wait, as far as we know."""
        ...

    async def take(self, *, region: str | None) -> str | None:
        """Take a room for a start, so that no other gets it; None: there is none, or NATS is slow.

        Args:
            region: Where the start wants its agent; None: anywhere.
        """
        ...


class Registry(Protocol):
    """Who is alive and what runs. Everything raises `BusAway`."""

    async def nodes(self) -> list[NodeState]:
        """The live nodes."""
        ...

    async def slots(self) -> list[Slot]:
        """The slots in use."""
        ...

    async def drain(self, node_id: str, limit_s: float) -> int:
        """Have a node finish its calls within `limit_s`, and leave; returns how many those are.

        Raises:
            Refused: `unknown_node`, `node_silent`.
        """
        ...

    async def check(self) -> Dependency:
        """Whether NATS answers; never raises."""
        ...


class ReadModelAway(Refused):
    """Redis did not answer within the deadline, or refuses; the text says which."""

    def __init__(self, detail: str) -> None:
        super().__init__(REDIS_UNAVAILABLE, detail, retry_after_s=_RETRY_AFTER_S)


class PositionMoved(Exception):
    """The read model is not where its writer thought: it was emptied, or another writes it."""


@dataclass(frozen=True)
class Page:
    """Some sessions, the newest first, and where the next page begins."""

    sessions: Sequence[SessionState]
    next_cursor: str | None


class ReadModel(Protocol):
    """Redis, for readers. Everything raises `ReadModelAway`."""

    async def get(self, session_id: str) -> SessionState | None:
        """One session, if it is there."""
        ...

    async def page(self, statuses: frozenset[Status], *, limit: int, cursor: str | None) -> Page:
        """Sessions of any of these statuses (none named: of all)."""
        ...

    async def count(self) -> Mapping[Status, int]:
        """How many sessions there are in each status that is not an end."""
        ...

    async def check(self) -> Dependency:
        """Whether Redis answers; never raises."""
        ...


class ReadModelWriter(Protocol):
    """Redis, for the projector. Everything raises `ReadModelAway`."""

    async def position(self) -> str | None:
        """Where the writer is in the log; None: nowhere, the read model is empty, spoilt or of a former version."""
        ...

    async def write_again(self) -> None:
        """Bring what a former version wrote into today's form."""
        ...

    async def states(self, session_ids: Iterable[str]) -> dict[str, SessionState]:
        """What is there of these sessions; a state that cannot be read counts as missing."""
        ...

    async def write(
        self,
        states: Collection[SessionState],
        user_configs: Mapping[str, Mapping[str, str]],
        *,
        at: str | None,
        then: str,
    ) -> None:
        """Write all of it and the new position, or nothing.

        Args:
            states: The sessions as they are now.
            user_configs: By user name.
            at: The position that the writer believes in.
            then: The position after it.

        Raises:
            PositionMoved: The position is not `at`, or a key had another type: it is gone now, and so is the position.
        """
        ...

    async def mirror_pool(self, members: frozenset[str]) -> None:
        """Make `pool:ready` hold exactly these."""
        ...


class Billing(Protocol):
    """The billing service. Everything raises `Refused`: its own problems, or `billing_unavailable`."""

    async def session(self, session_id: str) -> SessionBill:
        """One session's bill."""
        ...

    async def user(self, user_id: str, *, limit: int | None, cursor: str | None) -> UserBill:
        """One page of a user's bills."""
        ...
