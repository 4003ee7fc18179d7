"""The port of the read model: for readers, and for the projector."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from contracts.api import Dependency
from gateway.domain.read_model import SessionState, Status
from gateway.domain.session_filter import Cursor, SessionFilter


class PositionMoved(Exception):
    """The read model's position changed: Redis was emptied, or another projector writes."""


@dataclass(frozen=True)
class Page:
    """One page of sessions, the newest first."""

    sessions: Sequence[SessionState]
    next_cursor: str | None


class UserLists(Protocol):
    """The lists of each user's sessions. Methods raise `ReadModelUnavailable`."""

    async def delete_from_lists(self, session_id: str, configs: Iterable[tuple[str, str]]) -> None:
        """Delete the session's entry for lists, and take the session from its users' lists.

        Args:
            configs: User names, each with the time of the start in Unix seconds; the user's configuration goes too if
                it is still that start's.
        """
        ...


class ReadModel(UserLists, Protocol):
    """The read model for readers. Methods raise `ReadModelUnavailable`."""

    async def get(self, session_id: str) -> SessionState | None: ...

    async def page(self, statuses: frozenset[Status], *, limit: int, cursor: str | None) -> Page:
        """Sessions with one of these statuses, or all if none is given."""
        ...

    async def find(
        self, wanted: SessionFilter, *, limit: int, after: Cursor | None
    ) -> tuple[Sequence[SessionState], Cursor | None]:
        """One page of the sessions that match, the newest first, and where the next page begins; None: it was the last.

        The states may lack prompts, and the nodes that were considered.

        A page may have fewer than `limit` sessions, or none: the search is bounded, and goes on with the next page.
        """
        ...

    async def open_sessions(self) -> list[SessionState]:
        """Every session that has not ended."""
        ...

    async def count(self) -> Mapping[Status, int]:
        """The number of open sessions in each status."""
        ...

    async def check(self) -> Dependency:
        """Whether Redis answers; never raises."""
        ...


class ReadModelWriter(UserLists, Protocol):
    """The read model for the projector. Methods raise `ReadModelUnavailable`."""

    async def position(self) -> str | None:
        """The writer's position in the log; None when the read model is empty, corrupt or from an older version."""
        ...

    async def write_again(self) -> None:
        """Convert the keys of an older version into today's form."""
        ...

    async def states(self, session_ids: Iterable[str]) -> dict[str, SessionState]:
        """The stored states of these sessions; an unreadable state counts as missing."""
        ...

    async def write(
        self,
        states: Collection[SessionState],
        user_configs: Mapping[str, Mapping[str, str]],
        *,
        at: str | None,
        then: str,
    ) -> None:
        """Write the states, the configurations and the new position in one transaction.

        Args:
            user_configs: By user name.
            at: The expected position.
            then: The new position.

        Raises:
            PositionMoved: The position is not `at`, or a key had another type; that key and the position are deleted.
        """
        ...

    async def mirror_pool(self, members: frozenset[str]) -> None:
        """Replace the members of `pool:ready`."""
        ...
