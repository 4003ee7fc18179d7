"""Counts entries by round, and before a round."""

_FIRST_SIZE = 64


class Rounds:
    """A Fenwick tree over the rounds 0, 1, 2, ...; it doubles when a later round is used, so each call is O(log n)."""

    def __init__(self) -> None:
        self._in = [0] * _FIRST_SIZE
        self._tree = [0] * (_FIRST_SIZE + 1)

    def add(self, number: int, count: int) -> None:
        """Add to the count of a round; `count` may be negative."""
        while number >= len(self._in):
            self._double()
        self._in[number] += count
        at = number + 1
        while at < len(self._tree):
            self._tree[at] += count
            at += at & -at

    def at(self, number: int) -> int:
        """Entries in this round."""
        return self._in[number] if number < len(self._in) else 0

    def before(self, number: int) -> int:
        """Entries in earlier rounds."""
        at, total = min(number, len(self._in)), 0
        while at:
            total += self._tree[at]
            at -= at & -at
        return total

    def _double(self) -> None:
        half = len(self._in)
        total = self.before(half)
        self._in += [0] * half
        # Tree nodes above the old size cover only new, empty rounds, except the root, which covers all.
        self._tree += [0] * (half - 1) + [total]
