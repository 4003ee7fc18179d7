"""The fair queue: a hundred calls of one user do not delay another user's first one."""

from bisect import bisect_left, insort
from dataclasses import dataclass, field

from scheduler.domain.rounds import Rounds


@dataclass(frozen=True, slots=True)
class Waiting:
    """A session that waits for a slot and a node.

    Attributes:
        arrived: The sequence of its `requested`.
        holds_slot: A former leader has taken its slot.
    """

    session_id: str
    user_id: str
    arrived: int
    holds_slot: bool = False


_Place = tuple[int, str]  # arrived, session id
_Head = tuple[int, int, str]  # round, arrived, user id


@dataclass(slots=True)
class _User:
    """One user's sessions.

    Attributes:
        running: Sessions that hold a slot.
        waiting: Queued sessions by arrival.
        head: Sort key of the first queued session without a slot, among all users' heads.
    """

    running: int = 0
    waiting: list[_Place] = field(default_factory=list[_Place])
    head: _Head | None = None


class FairQueue:
    """Queued sessions: round-robin over the users, then by arrival; sessions that hold a slot come first.

    A user's n-th queued session stands in round n plus the number of that user's running sessions. So the turn goes
    to the user with the fewest, and a new leader computes the same order without any memory of earlier turns.

    Each user has one queue, and the users' heads form one sorted list, so a call makes O(log n) comparisons. Two
    methods cost more: `first` by the sessions that hold a slot (a new leader finds a few), `position` by later
    arrivals.
    """

    def __init__(self) -> None:
        self._entries: dict[str, Waiting] = {}
        self._users: dict[str, _User] = {}
        self._heads: list[_Head] = []
        self._rounds = Rounds()
        self._arrivals: list[_Place] = []
        self._holders: set[str] = set()

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, session_id: str) -> bool:
        return session_id in self._entries

    @property
    def has_holders(self) -> bool:
        """Whether a queued session holds a slot."""
        return bool(self._holders)

    def add(self, entry: Waiting) -> None:
        """Add a session; one that is queued keeps its place."""
        if entry.session_id in self._entries:
            return
        user = self._users.setdefault(entry.user_id, _User())
        self._entries[entry.session_id] = entry
        if entry.holds_slot:
            self._holders.add(entry.session_id)
        self._rounds.add(user.running + len(user.waiting), 1)
        insort(user.waiting, (entry.arrived, entry.session_id))
        insort(self._arrivals, (entry.arrived, entry.session_id))
        self._set_head(entry.user_id, user)

    def remove(self, session_id: str) -> None:
        """Remove a session, if it is queued."""
        entry = self._entries.pop(session_id, None)
        if entry is None:
            return
        user, place = self._users[entry.user_id], (entry.arrived, session_id)
        self._holders.discard(session_id)
        del user.waiting[bisect_left(user.waiting, place)]
        del self._arrivals[bisect_left(self._arrivals, place)]
        self._rounds.add(user.running + len(user.waiting), -1)
        self._set_head(entry.user_id, user)

    def runs(self, user_id: str, more: int) -> None:
        """Change how many of a user's sessions hold a slot; `more` may be negative."""
        if not more:
            return
        user = self._users.setdefault(user_id, _User())
        size = len(user.waiting)
        for _ in range(abs(more)):  # every queued session moves by one round, so only the ends of the range change
            if more > 0:
                self._move(user.running, user.running + size)
                user.running += 1
            else:
                user.running -= 1
                self._move(user.running + size, user.running)
        self._set_head(user_id, user)

    def running(self, user_id: str) -> int:
        """The user's sessions that hold a slot."""
        user = self._users.get(user_id)
        return user.running if user else 0

    def waiting(self, user_id: str) -> int:
        """The user's queued sessions."""
        user = self._users.get(user_id)
        return len(user.waiting) if user else 0

    def first(self) -> Waiting | None:
        """The next session; None when the queue is empty."""
        if self._holders:
            return min((self._entries[session_id] for session_id in self._holders), key=self._rank)
        if not self._heads:
            return None
        return self._entries[self._first_without_slot(self._users[self._heads[0][2]])[1][1]]

    def position(self, session_id: str) -> int:
        """A session's place, from 1; one that is not queued would come last."""
        entry = self._entries.get(session_id)
        if entry is None:
            return len(self._entries) + 1
        rank = self._rank(entry)
        holders_before = sum(1 for other in self._holders if self._rank(self._entries[other]) < rank)
        if entry.holds_slot:
            return 1 + holders_before
        number = rank[0]
        before = self._rounds.before(number) + self._rounds.at(number)
        for at in range(bisect_left(self._arrivals, (entry.arrived, session_id)), len(self._arrivals)):
            before -= self._rank(self._entries[self._arrivals[at][1]])[0] == number
        return 1 + before - holders_before + len(self._holders)

    def _rank(self, entry: Waiting) -> tuple[int, int]:
        """(round, arrival)."""
        user = self._users[entry.user_id]
        return user.running + bisect_left(user.waiting, (entry.arrived, entry.session_id)), entry.arrived

    def _move(self, from_round: int, to_round: int) -> None:
        if from_round != to_round:
            self._rounds.add(from_round, -1)
            self._rounds.add(to_round, 1)

    def _first_without_slot(self, user: _User) -> tuple[int, _Place]:
        return next(((n, place) for n, place in enumerate(user.waiting) if place[1] not in self._holders), (0, (0, "")))

    def _set_head(self, user_id: str, user: _User) -> None:
        index, (arrived, session_id) = self._first_without_slot(user)
        head = (user.running + index, arrived, user_id) if session_id else None
        if head != user.head:
            if user.head is not None:
                del self._heads[bisect_left(self._heads, user.head)]
            if head is not None:
                insort(self._heads, head)
            user.head = head
        if not user.running and not user.waiting:
            del self._users[user_id]
