"""How a worker's memory goes back to the system.

glibc serves the buffers of one inference from heaps that never shrink, and raises its own thresholds with each large
buffer that is freed. Without a fixed threshold, and with onnxruntime's arena, a worker kept 30 MB for a model that runs
for 30 ms a turn. The price is 21,000 page faults an inference, which then takes 60 ms of processor time. `malloc_trim`
behind each inference costs less in a bare process, 42 ms, but in a call it saved less and cost more.
"""

from __future__ import annotations

import ctypes
from typing import Final

_M_TRIM_THRESHOLD: Final = -1  # mallopt(3); the numbers are glibc's ABI
_M_MMAP_THRESHOLD: Final = -3
_M_ARENA_MAX: Final = -8
_LARGE: Final = 128 * 1024  # glibc's first value, which is then left as it is
_ARENAS: Final = 2  # one for each of a worker's 40 threads is the default, up to 8 a processor


def give_back_freed() -> bool:
    """Have freed memory go back to the system, in this process and those forked from it.

    Returns:
        False where the C library has no such setting, or refuses; the process then only needs more memory.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    mallopt.argtypes, mallopt.restype = (ctypes.c_int, ctypes.c_int), ctypes.c_int
    settings = ((_M_MMAP_THRESHOLD, _LARGE), (_M_TRIM_THRESHOLD, _LARGE), (_M_ARENA_MAX, _ARENAS))
    return all(mallopt(name, value) == 1 for name, value in settings)
