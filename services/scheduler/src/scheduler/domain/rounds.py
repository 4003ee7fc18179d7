"""Counts by round: how many stand in a round, and how many before it."""

_FIRST_SIZE = 64


class Rounds:
    """A Fenwick tree over the rounds 0, 1, 2, ...; it doubles when a later round is used, so each call is O(log n)."""

    def __init__(self) -> None:
        self._in = [0] * _FIRST_SIZE
        self._tree = [0] * (_FIRST_SIZE + 1)

    def add(self, number: int, count: int) -> None:
        """Count that many more in a round, or fewer."""
        while number >= len(self._in):
            self._double()
        self._in[number] += count
        at = number + 1
        while at < len(self._tree):
            self._tree[at] += count
            at += at & -at

    def at(self, number: int) -> int:
        """How many stand in this round."""
        return self._in[number] if number < len(self._in) else 0

    def before(self, number: int) -> int:
        """How many stand in earlier rounds."""
        at, total = min(number, len(self._in)), 0
        while at:
            total += self._tree[at]
            at -= at & -at
        return total

    def _double(self) -> None:
        half = len(self._in)
        total = self.before(half)
        self._in += [0] * half
        # Nodes above the old size cover new rounds only, which are empty, except the root: it covers all.
        self._tree += [0] * (half - 1) + [total]
