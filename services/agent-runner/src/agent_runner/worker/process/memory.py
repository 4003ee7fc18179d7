"""Returns the memory of the forkserver and the workers to the system.

glibc serves the buffers of one inference from heaps that never shrink, and raises its thresholds with each large buffer
that is freed. Fixed thresholds return them; `models` does the same for onnxruntime's own arena. Together they save each
worker 28 MB and cost 6 ms of CPU time a turn, in page faults.
"""

import ctypes
import mmap
import re
from pathlib import Path
from typing import Final

_M_TRIM_THRESHOLD: Final = -1  # mallopt(3); the numbers are glibc's ABI
_M_MMAP_THRESHOLD: Final = -3
_M_ARENA_MAX: Final = -8
_LARGE: Final = 128 * 1024  # glibc's initial value; setting it stops glibc from raising it
_SMAPS: Final = Path("/proc/self/smaps")
_MAPPING: Final = re.compile(r"([0-9a-f]+)-([0-9a-f]+) (r-[-x]p \S+ \S+ \S+ +/)?")
_ARENAS: Final = 2  # the default is one for each thread (a worker has 40), up to 8 for each processor


def give_back_freed() -> bool:
    """Return freed memory to the system, in this process and its forks.

    Returns:
        False if the C library refuses or has no such setting; the process then needs more memory.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    mallopt.argtypes, mallopt.restype = (ctypes.c_int, ctypes.c_int), ctypes.c_int
    settings = ((_M_MMAP_THRESHOLD, _LARGE), (_M_TRIM_THRESHOLD, _LARGE), (_M_ARENA_MAX, _ARENAS))
    return all(mallopt(name, value) == 1 for name, value in settings)


def release_file_pages() -> int:
    """Release the resident pages of libraries; a page that is needed later is read from its file.

    In the forkserver, which only forks afterwards, this saves 24 MB, most of them onnxruntime's.

    Returns:
        The size of the mappings in bytes; 0 where /proc/self/smaps is missing.
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
    """The read-only file mappings without a written page: written pages, such as relocations, are not in the file.

    Args:
        smaps: See proc(5). It counts a written page as `Anonymous` or `Swap`.
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
