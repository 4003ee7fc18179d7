"""How the forkserver's and the workers' memory goes back to the system.

glibc serves the buffers of one inference from heaps that never shrink, and raises its own thresholds with each large
buffer that is freed. Fixed thresholds give them back; `models` does the same for onnxruntime's own arena. Together a
worker keeps 28 MB less of a model that runs once a turn; the price is 6 ms of processor time a turn, in page faults.
"""

from __future__ import annotations

import ctypes
import mmap
import re
from pathlib import Path
from typing import Final

_M_TRIM_THRESHOLD: Final = -1  # mallopt(3); the numbers are glibc's ABI
_M_MMAP_THRESHOLD: Final = -3
_M_ARENA_MAX: Final = -8
_LARGE: Final = 128 * 1024  # glibc's first value, which is then left as it is
_SMAPS: Final = Path("/proc/self/smaps")
_MAPPING: Final = re.compile(r"([0-9a-f]+)-([0-9a-f]+) (r-[-x]p \S+ \S+ \S+ +/)?")
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


def drop_file_pages() -> int:
    """Let go of the pages of libraries that only their loading needed; whoever needs one again gets it from the file.

    In the forkserver, which then only forks, that is most of what it has of onnxruntime, 24 MB.

    Returns:
        How many bytes of mappings were let go of; 0 where the system has no such list.
    """
    try:
        smaps = _SMAPS.read_text()
    except OSError:
        return 0
    advise = ctypes.CDLL(None).madvise
    advise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    spans = unwritten(smaps)
    return sum(end - begin for begin, end in spans if advise(begin, end - begin, mmap.MADV_DONTNEED) == 0)


def unwritten(smaps: str) -> list[tuple[int, int]]:
    """The read-only mappings of files in which nothing was written: what was, such as relocations, is in no file.

    Args:
        smaps: As in proc(5). A written page is `Anonymous`, or in `Swap`.
    """
    found: list[tuple[int, int]] = []
    span: tuple[int, int] | None = None
    for line in smaps.splitlines():
        if (mapping := _MAPPING.match(line)) is not None:
            span = (int(mapping[1], 16), int(mapping[2], 16)) if mapping[3] else None
        elif line.startswith(("Anonymous:", "Swap:")):
            if int(line.split()[1]) > 0:
                span = None
            elif span is not None and line.startswith("Swap:"):  # the later of the two
                found.append(span)
                span = None
    return found
