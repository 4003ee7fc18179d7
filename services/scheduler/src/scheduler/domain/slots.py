"""Which slots are held, as far as the leader knows."""

import heapq
from collections.abc import Iterator


class SlotTable:
    """Key -> the session that holds it; the lowest free key is found in O(log n).

    A key is contested after another's write was met there: it may be held by what this version cannot read, or by a
    session that this leader has not heard of yet. It counts as held until it is read or the time has passed.
    """

    def __init__(self, max_bots: int) -> None:
        self._max_bots = max_bots
        self._owners: dict[int, str] = {}
        self._keys_of: dict[str, int] = {}
        self._free = list(range(max_bots))  # a heap; held keys in it are dropped when they come up
        self._listed = set(self._free)
        self._contested: dict[int, int] = {}
        self._changes = 0
        self._changed: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self._owners)

    def __iter__(self) -> Iterator[int]:
        return iter(self._owners)

    def owner(self, key: int) -> str | None:
        """The session that holds the key."""
        return self._owners.get(key)

    def held_by(self, session_id: str) -> int:
        """How many keys the session holds; a second one only until it is found and freed."""
        return self._keys_of.get(session_id, 0)

    def hold(self, key: int, session_id: str) -> None:
        """The session holds the key now instead of its former owner."""
        self.drop(key)
        self._owners[key] = session_id
        self._keys_of[session_id] = self._keys_of.get(session_id, 0) + 1
        self._contested.pop(key, None)
        self._note(key)

    def drop(self, key: int) -> None:
        """The key is free."""
        session_id = self._owners.pop(key, None)
        if session_id is None:
            return
        self._keys_of[session_id] -= 1
        if not self._keys_of[session_id]:
            del self._keys_of[session_id]
        self._relist(key)
        self._note(key)

    def contest(self, key: int, until_ms: int) -> None:
        """Leave the key alone until then, unless it is read before."""
        if key not in self._owners:
            self._contested[key] = until_ms

    def lowest_free(self, now_ms: int) -> int | None:
        """The lowest key that may be taken; None: all are held, slots beyond a MAX_BOTS that was lowered among them."""
        for key in [key for key, until_ms in self._contested.items() if now_ms >= until_ms]:
            del self._contested[key]
            self._relist(key)
        if len(self._owners) + len(self._contested) >= self._max_bots:
            return None
        while self._free:
            key = self._free[0]
            if key not in self._owners and key not in self._contested:
                return key
            heapq.heappop(self._free)
            self._listed.discard(key)
        return None

    def mark(self) -> int:
        """A point in time: what changed after it is newer than a reading that begins now."""
        return self._changes

    def has_changed(self, key: int, since: int) -> bool:
        """Whether the key was taken or freed here after that mark."""
        return self._changed.get(key, 0) > since

    def _relist(self, key: int) -> None:
        if key < self._max_bots and key not in self._listed and key not in self._owners:
            heapq.heappush(self._free, key)
            self._listed.add(key)

    def _note(self, key: int) -> None:
        self._changes += 1
        self._changed[key] = self._changes
