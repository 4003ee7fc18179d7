"""What billing needs from the outside, in its own words."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from contracts.events import SessionBilled

from billing.domain.ledger import Account
from billing.domain.rating import Charge, Tariff
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

    async def tariff(self, session_id: str) -> Tariff | None:
        """The tariff that the session was settled by; None while it is not settled."""
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

    def ends_and_bills(self, behind: int) -> AsyncIterator[LoggedEvent]:
        """Every `ended` and `billed` behind a stream sequence, in order, until there are no more."""
        ...
