"""Voice activity: a decision per frame, smoothed over several frames."""

from collections import deque
from dataclasses import dataclass
from enum import Enum

FRAME_MS = 30


class Change(Enum):
    NONE = "none"
    STARTED = "started"
    ENDED = "ended"


@dataclass(frozen=True)
class Steadiness:
    """The number of voiced frames, of the last ones, that start speech, and the silence that ends it."""

    voiced_to_start: int = 4
    window: int = 6
    silence_ms: int = 400


class Activity:
    """Converts voiced and unvoiced frames (30 ms) into starts and ends of speech."""

    def __init__(self, steadiness: Steadiness) -> None:
        self.steadiness = steadiness
        self._recent: deque[bool] = deque(maxlen=steadiness.window)
        self._silent_ms = 0
        self.speaking = False

    def frame(self, voiced: bool) -> Change:
        """Process the next frame."""
        self._recent.append(voiced)
        if self.speaking:
            return self._in_speech(voiced)
        if sum(self._recent) < self.steadiness.voiced_to_start:
            return Change.NONE
        self.speaking, self._silent_ms = True, 0
        return Change.STARTED

    def _in_speech(self, voiced: bool) -> Change:
        self._silent_ms = 0 if voiced else self._silent_ms + FRAME_MS
        if self._silent_ms < self.steadiness.silence_ms:
            return Change.NONE
        self.stop()
        return Change.ENDED

    def stop(self) -> None:
        """Mark the speech as ended now."""
        self.speaking = False
        self._recent.clear()
