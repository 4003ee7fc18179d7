"""Where speech begins in synthesised audio: the caller waits through any silence before it."""

from array import array
from typing import Final

_QUIET: Final = 64  # of 32768: 54 dB below full scale, inaudible
_LEAD_S: Final = 0.002  # kept before the first sound, which would otherwise begin with a click


def silence_before(pcm: bytes, rate: int) -> int:
    """Bytes of silence that can be cut from the start of an utterance.

    Args:
        pcm: The beginning of the audio: mono samples, 16 bit, in this machine's byte order.
        rate: Samples a second.

    Returns:
        An even number; 0 if every sample is inaudible.
    """
    samples = array("h", pcm[: len(pcm) & ~1])
    first = next((at for at, sample in enumerate(samples) if abs(sample) > _QUIET), 0)
    return 2 * max(0, first - int(_LEAD_S * rate))
