"""Clocks that the parts share."""

import time


def boot_clock() -> float:
    """Seconds of a clock that continues while the machine is suspended, unlike `time.monotonic`."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)
