"""Billing's ports: its database and its log."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from billing.domain.ledger import Account, Settlement
from billing.domain.rating import Charge
from billing.domain.usage import Recorded
from contracts.events import SessionBilled


class Unavailable(Exception):
    """A store did not answer; whether it committed a write is unknown, and a retry may succeed.

    Attributes:
        reason: The store's error, without credentials.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class LedgerUnavailable(Unavailable):
    """The database."""


class LogUnavailable(Unavailable):
    """The stream SESSIONS."""


@dataclass(frozen=True)
class Extent:
    """The range of sequences that the log holds.

    Attributes:
        log_ms: Creation time of the stream, Unix ms; it identifies a stream that was deleted and created again.
        first_seq: Sequence of the oldest message, or of the next one when the log is empty.
        last_seq: Sequence of the newest message.
    """

    log_ms: int
    first_seq: int
    last_seq: int


@dataclass(frozen=True)
class Position:
    """Every event up to `seq` of the log that was created at `log_ms` is settled and announced."""

    log_ms: int
    seq: int


@dataclass(frozen=True)
class Gap:
    """A range that the log dropped before billing read it; found at `found_ms`, Unix ms."""

    first_seq: int
    last_seq: int
    found_ms: int


@dataclass(frozen=True)
class PageStart:
    """Where a page of a user's bills begins, the newest first: after this settlement."""

    settled_ms: int
    session_id: str


@dataclass(frozen=True)
class UserAccount:
    """A user's sums over all sessions, and one page of them."""

    user_id: str
    sessions: int
    owed: Charge
    page: tuple[Account, ...]
    next: PageStart | None


class Ledger(Protocol):
    """The append-only ledger. Every method raises `LedgerUnavailable` when the database does not answer."""

    async def settlements(self, session_ids: Sequence[str]) -> dict[str, Settlement]:
        """By session id; sessions that are not settled are left out."""
        ...

    async def record(self, account: Account) -> int:
        """Write the missing rows of an account in one transaction.

        Returns:
            The number of rows written: 0 for a repetition.

        Raises:
            SettledMeanwhile: The session is settled with another tariff.
            SettledOtherwise: A stored row differs from this account's; nothing was written.
        """
        ...

    async def record_all(self, accounts: Sequence[Account]) -> list[int]:
        """`record` for each account, all in one transaction."""
        ...

    async def position(self) -> Position | None:
        """The stored position; None in a new ledger."""
        ...

    async def is_empty(self) -> bool: ...

    async def advance(self, position: Position) -> None:
        """Move the position forward, or to another log; never back in the same log."""
        ...

    async def keep_gap(self, gap: Gap) -> None: ...

    async def account(self, session_id: str) -> Account | None:
        """A session's account; None while it is not settled."""
        ...

    async def user(
        self, user_id: str, *, limit: int, behind: PageStart | None, account: str | None = None
    ) -> UserAccount | None:
        """A user's sums and one page of at most `limit` sessions; None for a user without a settled session.

        Args:
            account: Another id of the same user, whose sessions count too.
        """
        ...


class SessionLog(Protocol):
    """The stream SESSIONS. Every method raises `LogUnavailable` when it does not answer."""

    async def history(self, session_id: str) -> Sequence[Recorded]:
        """The session's events, in order."""
        ...

    async def last_seq(self, event: str, session_id: str) -> int | None:
        """Stream sequence of the session's last event of that name; None without one."""
        ...

    async def announce(self, billed: SessionBilled) -> bool:
        """Publish `billed` unless the log has it; True if this call published it."""
        ...

    async def extent(self) -> Extent: ...

    async def newest(self) -> int:
        """Sequence of the newest event that `follow` would yield; 0 without one."""
        ...

    def follow(self, behind: int) -> AsyncIterator[Recorded]:
        """Yield every later event that can create or change a bill, in order, through outages; it never ends."""
        ...

    async def show_position(self, seq: int, *, may_go_back: bool) -> None:
        """Tell the scheduler that every event up to this sequence is settled; it counts later ones as filling the log.

        Args:
            may_go_back: Replace a later position too, since the ledger may come from a backup.
        """
        ...

    async def shown_position(self) -> int:
        """The shown position, or the place of a version before the ledger's position; 0 without one."""
        ...

    async def bury(self, cause: Recorded, reason: str) -> None:
        """Add an event that can never be billed to the dead letters."""
        ...
