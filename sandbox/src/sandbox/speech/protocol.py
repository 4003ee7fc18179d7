"""The messages between the sandbox and its recogniser processes, over a socket.

The recogniser receives frames: one letter, the length (32 bits, little-endian), then so many bytes. It sends events as
JSON lines. The end of its input ends it, so it also notices the sandbox's death.
"""

import json
import struct
from dataclasses import asdict, dataclass
from enum import Enum
from typing import Any, BinaryIO

RATE_HZ = 16_000
_HEADER = struct.Struct("<cI")


class Kind(bytes, Enum):
    """The letters of the frames: `CONFIGURE` has JSON, `AUDIO` samples, the others no content."""

    CONFIGURE = b"C"
    AUDIO = b"A"
    FORCE = b"F"


@dataclass(frozen=True)
class Configuration:
    """The audio's format: rate in Hz, "pcm_s16le" or "pcm_mulaw", and the silence that ends a turn."""

    sample_rate: int
    encoding: str
    silence_ms: int


@dataclass(frozen=True)
class Word:
    """A recognised word, its time in the session's audio (milliseconds) and the decoder's confidence (0..1)."""

    text: str
    start_ms: int
    end_ms: int
    confidence: float


@dataclass(frozen=True)
class Heard:
    """An event: "ready", "started", "partial", "final" or "idle" (a forced end without speech)."""

    event: str
    at_ms: int = 0
    words: tuple[Word, ...] = ()

    def line(self) -> bytes:
        return json.dumps(asdict(self)).encode() + b"\n"

    @staticmethod
    def of(line: bytes) -> "Heard":
        found: dict[str, Any] = json.loads(line)
        return Heard(found["event"], found["at_ms"], tuple(Word(**word) for word in found["words"]))


def frame(kind: Kind, payload: bytes = b"") -> bytes:
    return _HEADER.pack(kind.value, len(payload)) + payload


def configure(configuration: Configuration) -> bytes:
    return frame(Kind.CONFIGURE, json.dumps(asdict(configuration)).encode())


def read_frame(stream: BinaryIO) -> tuple[Kind, bytes] | None:
    """The next frame; None at the end of the stream."""
    header = stream.read(_HEADER.size)
    if len(header) < _HEADER.size:
        return None
    letter, length = _HEADER.unpack(header)
    payload = stream.read(length)
    return (Kind(letter), payload) if len(payload) == length else None
