"""Which session holds which slot, as far as the leader knows."""

import heapq
from collections.abc import Iterator


class SlotTable:
    """Key -> the session that holds it; the lowest free key is found in O(log n).

    A key is contested when another writer's value was found there: a value that this version cannot parse, or of a
    session that this leader has not read yet. It counts as held until the bucket is read or a deadline passes.
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
        """The session that holds the key, if any."""
        return self._owners.get(key)

    def held_by(self, session_id: str) -> int:
        """How many keys the session holds; the reconciler releases a second one."""
        return self._keys_of.get(session_id, 0)

    def hold(self, key: int, session_id: str) -> None:
        """Give the key to the session, replacing its former owner."""
        self.release(key)
        self._owners[key] = session_id
        self._keys_of[session_id] = self._keys_of.get(session_id, 0) + 1
        self._contested.pop(key, None)
        self._note(key)

    def release(self, key: int) -> None:
        """Release the key."""
        session_id = self._owners.pop(key, None)
        if session_id is None:
            return
        self._keys_of[session_id] -= 1
        if not self._keys_of[session_id]:
            del self._keys_of[session_id]
        self._relist(key)
        self._note(key)

    def contest(self, key: int, until_ms: int) -> None:
        """Do not hand out the key until then, unless the bucket is read earlier."""
        if key not in self._owners:
            self._contested[key] = until_ms

    def lowest_free(self, now_ms: int) -> int | None:
        """The lowest free key; None: all are held, including slots above a MAX_BOTS that was lowered."""
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
        """A point in time; keys that change after it are newer than a read of the bucket that begins now."""
        return self._changes

    def has_changed(self, key: int, since: int) -> bool:
        """Whether the key was taken or released here after that mark."""
        return self._changed.get(key, 0) > since

    def _relist(self, key: int) -> None:
        if key < self._max_bots and key not in self._listed and key not in self._owners:
            heapq.heappush(self._free, key)
            self._listed.add(key)

    def _note(self, key: int) -> None:
        self._changes += 1
        self._changed[key] = self._changes
