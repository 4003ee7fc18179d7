"""Which pages are released; a mistake here would undo a process's writes."""

import ctypes
import mmap
from pathlib import Path

from agent_runner.worker.process.memory import release_file_pages, unwritten

PAGE = mmap.PAGESIZE
SIZE = 16 * PAGE
READ_ONLY = 1


def mapped(path: Path) -> mmap.mmap:
    """A private mapping of the file, all of it read."""
    with path.open("r+b") as file:
        mapping = mmap.mmap(file.fileno(), SIZE, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ | mmap.PROT_WRITE)
    assert mapping[:].count(b"a"[0]) == SIZE
    return mapping


def protect(mapping: mmap.mmap) -> None:
    address = ctypes.addressof(ctypes.c_char.from_buffer(mapping))
    assert ctypes.CDLL(None).mprotect(ctypes.c_void_p(address), ctypes.c_size_t(SIZE), READ_ONLY) == 0


def resident_kb(path: Path) -> int:
    """Of the mapping of this file in this process."""
    found = False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        if "-" in line.split(" ", 1)[0]:
            found = line.endswith(str(path))
        elif found and line.startswith("Rss:"):
            return int(line.split()[1])
    raise AssertionError("the file is not mapped")


def file_of(tmp_path: Path, name: str) -> Path:
    path = tmp_path / name
    path.write_bytes(b"a" * SIZE)
    return path


def test_pages_that_are_as_in_the_file_go_and_come_back(tmp_path: Path) -> None:
    mapping = mapped(path := file_of(tmp_path, "library"))
    protect(mapping)
    assert resident_kb(path) == SIZE // 1024

    assert release_file_pages() >= SIZE

    assert resident_kb(path) == 0
    assert mapping[:] == b"a" * SIZE


def test_pages_that_were_written_stay(tmp_path: Path) -> None:
    relocated = mapped(file_of(tmp_path, "relocated"))
    relocated[PAGE] = b"b"[0]
    protect(relocated)
    writable = mapped(file_of(tmp_path, "writable"))
    writable[0] = b"c"[0]

    release_file_pages()

    assert relocated[PAGE : PAGE + 2] == b"ba"
    assert writable[:2] == b"ca"


def test_pages_that_were_written_and_then_swapped_out_stay() -> None:
    smaps = """\
1000-3000 r--p 00000000 fe:00 42 /lib/untouched.so
Anonymous:             0 kB
Swap:                  0 kB
3000-5000 r--p 00002000 fe:00 42 /lib/relocated.so
Anonymous:             0 kB
Swap:                  4 kB
5000-7000 r-xp 00004000 fe:00 42 /lib/patched.so
Anonymous:             4 kB
Swap:                  0 kB
7000-9000 rw-p 00000000 00:00 0
Anonymous:             0 kB
Swap:                  0 kB
"""
    assert unwritten(smaps) == [(0x1000, 0x3000)]
