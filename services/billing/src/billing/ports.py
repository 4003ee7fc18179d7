"""What billing needs from the outside, in its own words."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from contracts.events import SessionBilled

from billing.domain.ledger import Account, Settlement
from billing.domain.rating import Charge
from billing.domain.usage import LoggedEvent


class LedgerUnavailable(Exception):
    """The database did not answer; nothing is known to have been written.

    Attributes:
        reason: What it said, without credentials.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class LogUnavailable(Exception):
    """The log could not be read or written.

    Attributes:
        reason: What is wrong.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True)
class Extent:
    """What the log holds.

    Attributes:
        log_ms: When it was created, Unix ms: a log that was lost and made again is another one.
        first_seq: The oldest message's sequence, or that of the next one when it holds none.
        last_seq: The newest one's.
    """

    log_ms: int
    first_seq: int
    last_seq: int


@dataclass(frozen=True)
class Position:
    """A place in the log: everything up to `seq` of the log that was created at `log_ms` is dealt with."""

    log_ms: int
    seq: int


@dataclass(frozen=True)
class Gap:
    """A range of the log that was dropped before it was read; found at `found_ms`, Unix ms."""

    first_seq: int
    last_seq: int
    found_ms: int


@dataclass(frozen=True)
class Place:
    """A place in a user's bills, the newest first: behind this settlement."""

    settled_ms: int
    session_id: str


@dataclass(frozen=True)
class UserAccount:
    """A user's sums over everything, and one page of settled sessions."""

    user_id: str
    sessions: int
    owed: Charge
    page: tuple[Account, ...]
    next: Place | None


class Ledger(Protocol):
    """The append-only ledger. Every method raises `LedgerUnavailable` when the database does not answer."""

    async def settlements(self, session_ids: Sequence[str]) -> dict[str, Settlement]:
        """The settlements of those of the sessions that are settled."""
        ...

    async def record(self, account: Account) -> int:
        """Write what is missing of a settled session, all or nothing; a repetition writes nothing.

        Returns:
            How many rows were written: 0 for a repetition.

        Raises:
            SettledMeanwhile: The session is settled by another tariff.
            SettledOtherwise: A row that is there is another than this account's; nothing was written.
        """
        ...

    async def record_all(self, accounts: Sequence[Account]) -> list[int]:
        """`record` for each, in one transaction: all of them or nothing."""
        ...

    async def position(self) -> Position | None:
        """How far in the log every session is settled and announced; None before the first time."""
        ...

    async def is_empty(self) -> bool:
        """Whether no session is settled."""
        ...

    async def advance(self, position: Position) -> None:
        """Move the position forward, or into another log; never back in the same one."""
        ...

    async def keep_gap(self, gap: Gap) -> None:
        """Note for ever what the log dropped before it was read."""
        ...

    async def account(self, session_id: str) -> Account | None:
        """A settled session; None while it is not settled."""
        ...

    async def user(self, user_id: str, *, limit: int, behind: Place | None) -> UserAccount | None:
        """A user's sums and one page of at most `limit` sessions; None for a user without a settled session."""
        ...


class Log(Protocol):
    """The sessions' log. Every method raises `LogUnavailable` when it does not answer."""

    async def history(self, session_id: str) -> Sequence[LoggedEvent]:
        """Everything that the log holds of a session, in order."""
        ...

    async def last_seq(self, event: str, session_id: str) -> int | None:
        """The stream sequence of the session's last event of that name; None: its log has none."""
        ...

    async def announce(self, billed: SessionBilled) -> bool:
        """Publish `billed` unless the log has it; True when it was published now."""
        ...

    async def extent(self) -> Extent:
        """What the log holds now."""
        ...

    async def newest(self) -> int:
        """The sequence of the newest event that `follow` gives out; 0 for none."""
        ...

    def follow(self, behind: int) -> AsyncIterator[LoggedEvent]:
        """Every event behind a sequence that can make or change a bill, in order and for ever, through outages."""
        ...

    async def show_position(self, seq: int, *, may_go_back: bool) -> None:
        """Let the scheduler see that everything up to this sequence is settled: what is behind it fills the log.

        Args:
            may_go_back: Also where a later one is shown: the ledger may be one from a backup.
        """
        ...

    async def shown_position(self) -> int:
        """What the scheduler sees, or what a version before the ledger's position acknowledged; 0: nothing."""
        ...

    async def bury(self, cause: LoggedEvent, reason: str) -> None:
        """Keep an event that leads to no bill among the dead letters."""
        ...
