"""Where speech begins in what a voice made: the silence before it is time that the caller waits. Pure."""

from __future__ import annotations

from array import array
from typing import Final

_QUIET: Final = 64  # of 32768: 54 dB under full scale, which nobody hears
_LEAD_S: Final = 0.002  # kept, so that the first sound does not begin with a click


def silence_before(pcm: bytes, rate: int) -> int:
    """Bytes that can be left out at the start of an utterance.

    Args:
        pcm: The first of it: mono samples, 16 bit, in this machine's byte order.
        rate: Samples a second.

    Returns:
        An even number; 0 where nothing in it is audible.
    """
    samples = array("h", pcm[: len(pcm) & ~1])
    first = next((at for at, sample in enumerate(samples) if abs(sample) > _QUIET), 0)
    return 2 * max(0, first - int(_LEAD_S * rate))
