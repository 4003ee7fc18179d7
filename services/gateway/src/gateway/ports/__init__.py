"""The gateway's ports."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Generic, Protocol, TypeVar

from contracts.api import Dependency, SessionBill, UserBill
from contracts.events import Event
from contracts.registry import IdempotentReply, IdempotentStart, NodeState, Slot
from contracts.room_events import RoomEvent
from gateway.domain.logged import LoggedEvent, TailReader
from gateway.domain.rooms import MadeRoom
from gateway.ports.read_model import Page as Page
from gateway.ports.read_model import PositionMoved as PositionMoved
from gateway.ports.read_model import ReadModel as ReadModel
from gateway.ports.read_model import ReadModelWriter as ReadModelWriter

E = TypeVar("E", bound=Event)


class Unavailable(Exception):
    """A store did not answer within its deadline, or refuses to work; a retry may succeed.

    Attributes:
        detail: For the client, so without addresses.
        session_id: The session of the request, once it is known.
    """

    def __init__(self, detail: str, *, session_id: str | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.session_id = session_id


class NatsUnavailable(Unavailable):
    """NATS."""


class LogFull(NatsUnavailable):
    """NATS answers but cannot store anything."""

    def __init__(self) -> None:
        super().__init__("NATS answers but stores nothing: its disk is full, or was full and NATS has not restarted.")


class ReadModelUnavailable(Unavailable):
    """Redis."""


class RecordUnreadable(Exception):
    """The session exists, but this version cannot read its event."""

    def __init__(self, session_id: str, event: str) -> None:
        super().__init__(f"Cannot read the event `{event}` of session {session_id}.")


class SessionIdTaken(Exception):
    """The log already has a request with this session id."""


class SessionLog(Protocol):
    """The stream SESSIONS, and ROOMS for writing.

    Every method raises `NatsUnavailable`; those that write also raise `LogFull` and `Refused` (`log_refused`).
    """

    @property
    def may_lack_sessions(self) -> bool:
        """NATS came back with another log, to which the scheduler may still restore running sessions; 60 s at most."""
        ...

    async def connected(self) -> None:
        """Wait until there is a connection to NATS."""

    async def open(self, event: Event, secret: str = "") -> int:
        """Publish the session's first event of this kind, and return its sequence.

        Args:
            secret: Seals the event's words; empty: they stay in the clear.

        Raises:
            SessionIdTaken: The log already has one.
        """
        ...

    async def publish(self, event: Event) -> None:
        """Publish an event; safe to repeat."""

    async def publish_room_event(self, event: RoomEvent) -> None:
        """Publish a webhook; safe to repeat."""

    async def last(self, event: type[E], session_id: str) -> E | None:
        """The session's last event of this kind.

        Raises:
            RecordUnreadable: This version cannot read it.
        """
        ...

    async def latest(self, session_id: str) -> Event | None:
        """The session's last event of any kind."""
        ...

    async def history(self, session_id: str) -> list[Event]:
        """The session's whole log, in order."""
        ...

    async def records(self, session_id: str) -> list[LoggedEvent]:
        """As `history`, with each event's place in the log; an event that this version cannot read is None."""
        ...

    async def max_age(self) -> timedelta:
        """How long the log keeps an event."""
        ...

    async def since(self, at: datetime, *events: type[Event]) -> list[Event]:
        """All sessions' events of these kinds that were stored at or after `at`."""
        ...

    def follow(
        self, session_id: str, *events: type[Event], since: int | None = None, past: bool = True
    ) -> AbstractAsyncContextManager[AsyncIterator[Event]]:
        """Yield the session's past and future events of these kinds, each at least once.

        Args:
            since: A sequence before which the session has no such events, for example its request's; None: unknown.
            past: False: events that the log has on entry may be left out.
        """
        ...

    def watch(self, session_id: str | None = None) -> AbstractAsyncContextManager[TailReader]:
        """Watch what comes from now on, without the ticks.

        Args:
            session_id: None: all sessions; the first events are then up to 2,048 that came before.
        """
        ...


class Words(Protocol):
    """The keys of the sessions' words. Methods raise `NatsUnavailable`, `LogFull` and `Refused` (`keys_full`)."""

    async def secret_for(self, session_id: str) -> str:
        """The secret that seals this session's words, a new one unless it has one; empty: they are not sealed.

        Raises:
            SessionIdTaken: The session is erased.
        """
        ...

    async def erase(self, session_id: str) -> None:
        """Overwrite the secret, so that nothing opens the session's words again; safe to repeat."""
        ...


class LogReader(Protocol):
    """The stream SESSIONS as a whole, for the projector."""

    def read(self, since: int | None, *events: type[Event]) -> AsyncIterator[Sequence[LoggedEvent]]:
        """All sessions' events of these kinds in order, in batches; an empty batch after each quiet second.

        Args:
            since: The first sequence to read; None: the oldest.

        Raises:
            NatsUnavailable: The connection is closed.
        """
        ...

    async def records(self, session_id: str) -> list[LoggedEvent]:
        """One session's whole log, in order; raises `NatsUnavailable`."""
        ...


class Rooms(Protocol):
    """LiveKit's rooms. Methods raise `Refused` (`livekit_unavailable`, `livekit_refused`, `clock_skew`)."""

    def in_line(self) -> AbstractAsyncContextManager[None]:
        """Around the creation of a start's room: a burst of starts waits in line instead of failing."""
        ...

    async def create(self, session_id: str) -> MadeRoom:
        """Create the room; LiveKit does not change an existing one."""
        ...

    async def identities(self, session_id: str) -> frozenset[str]:
        """The participants' identities; empty for a room that does not exist."""
        ...

    async def delete(self, session_id: str) -> None:
        """Close the room; succeeds also when the room does not exist."""

    async def check(self) -> Dependency:
        """Whether LiveKit answers with our credentials; never raises."""
        ...


class Tokens(Protocol):
    """LiveKit tokens for callers."""

    def mint(self, session_id: str, *, user_id: str, name: str, now: datetime) -> str:
        """A token for the session's room; the same arguments give the same token.

        Args:
            user_id: For the participant's metadata; the identity follows from the session.
            name: The participant's display name.
            now: Start of its validity.
        """
        ...


class BadSignature(Exception):
    """The webhook was not signed with a key that the gateway knows; the text gives the reason."""


class WebhookSignature(Protocol):
    """The signature of LiveKit's webhooks."""

    def verify(self, body: bytes, authorization: str | None) -> None:
        """Check a webhook's signature, or raise `BadSignature`.

        Args:
            body: The received bytes: a body that was parsed and written again has another hash.
            authorization: The header: a JWT without `Bearer`.
        """
        ...


class Voices(Protocol):
    """The provider's list of voices."""

    async def known(self) -> frozenset[str] | None:
        """The voices; None when the list is not available."""
        ...


K = TypeVar("K", IdempotentStart, IdempotentReply)


@dataclass(frozen=True)
class KeyedEntry(Generic[K]):
    """An idempotency key's entry.

    Attributes:
        revision: Replacing the entry requires it.
        is_ours: This call wrote the entry, not an earlier request.
    """

    entry: K
    revision: int
    is_ours: bool = False


class IdempotencyKeys(Protocol):
    """The use of idempotency keys.

    Every method raises `NatsUnavailable`; those that write also raise `Refused` (`idempotency_store_full`).
    """

    async def find(self, name: str, kind: type[K]) -> KeyedEntry[K] | None: ...

    async def put_if_absent(self, name: str, entry: K) -> KeyedEntry[K]:
        """Create the key with this entry, or return the entry of an earlier request."""
        ...

    async def replace(self, name: str, keyed: KeyedEntry[K], entry: K) -> KeyedEntry[K]:
        """Replace the entry, or return the entry of a request that was faster."""
        ...


class StartQueue(Protocol):
    """The scheduler's last report of its queue."""

    @property
    def log_is_full(self) -> bool:
        """Whether the log has no space for another call."""
        ...

    def may_be_full(self, seq: int | None) -> bool:
        """Whether the scheduler may refuse the start at this stream sequence; None: an unknown one."""
        ...


class Seats(Protocol):
    """The first user who asked for a session id that a client chose."""

    async def take(self, session_id: str, user: str) -> str:
        """Take the caller's seat, and return the user who has it: this one, or an earlier one.

        Raises:
            NatsUnavailable: NATS did not answer.
            Refused: `seats_full`.
        """
        ...

    async def erase(self, session_id: str) -> None:
        """Delete the user of a seat; no other user gets the seat. Raises as `take`; safe to repeat."""
        ...


class PrejoinedRooms(Protocol):
    """Prejoined rooms. Errors are logged, not raised: a start without such a room only takes longer."""

    @property
    def ids(self) -> frozenset[str]:
        """The session ids of the known prejoined rooms."""
        ...

    async def claim(self, *, region: str | None) -> str | None:
        """Claim a room for one start; None without a room, or when NATS takes longer than 0.5 s.

        Args:
            region: The region of the agent; None: any.
        """
        ...


class Registry(Protocol):
    """The nodes and their sessions. Methods raise `NatsUnavailable`."""

    async def nodes(self) -> list[NodeState]:
        """The live nodes."""
        ...

    async def slots(self) -> list[Slot]:
        """The slots in use."""
        ...

    async def has_scheduler(self) -> bool:
        """Whether a scheduler leads; up to 5 s after it died still True."""
        ...

    async def drain(self, node_id: str, limit_s: float) -> int:
        """Ask a node to drain within `limit_s`, and return the number of its calls.

        Raises:
            Refused: `unknown_node`, `node_silent`.
        """
        ...

    async def check(self) -> Dependency:
        """Whether NATS answers; never raises."""
        ...


class Billing(Protocol):
    """The billing service. Methods raise `Refused`: billing's own problems, or `billing_unavailable`."""

    async def check(self) -> Dependency:
        """Whether billing works; does not raise."""
        ...

    async def session(self, session_id: str) -> SessionBill: ...

    async def user(
        self, user_id: str, *, limit: int | None, cursor: str | None, account: str | None = None
    ) -> UserBill:
        """One page of a user's bills; `account`: together with those of this account."""
        ...
