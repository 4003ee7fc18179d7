"""Whether the agent is mute: speech was synthesised, the caller can hear the agent, and no audio goes out."""

from typing import Final

MUTE_S: Final = 3.0
"""A working output writes each chunk of speech much sooner."""

_SLACK_S: Final = 0.1  # of audio that the last chunk may hold back


class Muteness:
    """Compares the bytes that the TTS made with the bytes that were written to the room."""

    def __init__(self, bytes_per_s: int) -> None:
        self._slack = round(_SLACK_S * bytes_per_s)
        self._sent = -1
        self._since: float | None = None

    def is_mute(self, now: float, *, made: int, sent: int, can_hear: bool) -> bool:
        """Whether no audio was written for MUTE_S although audio was waiting and the caller could hear it.

        Args:
            now: Seconds of one clock.
            made: Bytes of speech so far.
            sent: Bytes written so far.
            can_hear: The caller is in the room and subscribes to the agent's track, and the agent is not paused.
        """
        if sent != self._sent or not can_hear or made - sent <= self._slack:
            self._sent, self._since = sent, None
            return False
        self._since = now if self._since is None else self._since
        return now - self._since >= MUTE_S
