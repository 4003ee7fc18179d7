"""The agent's audio that may have to go out again."""

import time
from collections import deque
from typing import Final

_KEPT_S: Final = 3.0  # more than LiveKit's queue holds, and than it takes to notice that a network is lost


class KeptAudio:
    """What was written last. A hold takes back what the caller has not heard, which is recorded again as it goes out.

    Attributes:
        missed: Sent while the caller's network was lost: its words have counted as heard.
        unplayed: Was in LiveKit's queue; it comes after what was missed.
    """

    def __init__(self) -> None:
        self.missed = b""
        self.unplayed = b""
        self._written: deque[tuple[float, bytes]] = deque()  # with the times at which they were written

    def write(self, audio: bytes) -> None:
        now = time.monotonic()
        self._written.append((now, audio))
        while self._written[0][0] < now - _KEPT_S:
            self._written.popleft()

    def take_queued(self, size: int, *, is_repeated: bool) -> None:
        """Take back the newest `size` bytes, which are not played; `is_repeated`: the caller has missed them before."""
        queued = self._taken_back(size)
        if is_repeated:
            self.missed = queued + self.missed
        else:
            self.unplayed = queued

    def take_since(self, since: float) -> None:
        """Take back what was written since then: the caller missed it."""
        self.missed = self._taken_back(sum(len(audio) for at, audio in self._written if at >= since)) + self.missed

    def discard(self) -> None:
        self.missed = self.unplayed = b""
        self._written.clear()

    def _taken_back(self, size: int) -> bytes:
        taken: deque[bytes] = deque()
        while size > 0 and self._written:
            at, audio = self._written.pop()
            if size < len(audio):
                self._written.append((at, audio[:-size]))
            taken.appendleft(audio[-size:])
            size -= len(audio)
        return b"".join(taken)
