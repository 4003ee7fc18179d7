"""Which pages are let go of; a mistake here would undo what a process has written."""

import ctypes
import mmap
from pathlib import Path

from agent_runner.worker.memory import drop_file_pages

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

    assert drop_file_pages() >= SIZE

    assert resident_kb(path) == 0
    assert mapping[:] == b"a" * SIZE


def test_pages_that_were_written_stay(tmp_path: Path) -> None:
    relocated = mapped(file_of(tmp_path, "relocated"))
    relocated[PAGE] = b"b"[0]
    protect(relocated)
    writable = mapped(file_of(tmp_path, "writable"))
    writable[0] = b"c"[0]

    drop_file_pages()

    assert relocated[PAGE : PAGE + 2] == b"ba"
    assert writable[:2] == b"ca"
