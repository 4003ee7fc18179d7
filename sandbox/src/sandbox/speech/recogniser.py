"""The recogniser processes: `python -m sandbox.speech.recogniser [WORDS]` forks one for each socket that it is sent.

A process for each session, since pocketsphinx holds the interpreter's lock while it works (for a third of a second).
Forked, since the models take half a second of CPU time and 90 MiB, which the processes then share. Standard input is
the socket on which the sandbox passes them; its end ends the process.
"""

import json
import os
import signal
import socket
import sys
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np
import pocketsphinx  # pyright: ignore[reportMissingTypeStubs]

from sandbox.speech.activity import FRAME_MS, Activity, Change, Steadiness
from sandbox.speech.decoder import FixedDecoder, UtteranceDecoder
from sandbox.speech.pcm import Resampler, Samples, from_mulaw
from sandbox.speech.protocol import RATE_HZ, Configuration, Heard, Kind, Word, read_frame

_FRAME_BYTES = RATE_HZ * FRAME_MS // 1000 * 2
# Audio from before speech was detected, so that its first sound is not lost.
_LEAD_FRAMES = 16
_PARTIAL_EVERY_FRAMES = 8
# The longest turn: it limits the memory of an utterance.
_LONGEST_TURN_FRAMES = 60_000 // FRAME_MS
# A lower level (root mean square of 16-bit samples) is silence, whatever the detector says.
_QUIET = 60.0
_STRICTEST = 3
# Standard deviation of the added noise (16-bit samples); well below `_QUIET`.
_BREATH = 10.0


class Recogniser:
    """Finds the turns in one stream of audio and decodes each; passes every event to `emit`."""

    def __init__(self, emit: Callable[[Heard], None], decoder: FixedDecoder | UtteranceDecoder) -> None:
        self._emit = emit
        self._decoder = decoder
        sphinx: Any = pocketsphinx
        self._detector: Any = sphinx.Vad(_STRICTEST, RATE_HZ, FRAME_MS / 1000)
        self._configuration = Configuration(RATE_HZ, "pcm_s16le", silence_ms=400)
        self._resampler = Resampler(RATE_HZ, RATE_HZ)
        self._activity = Activity(Steadiness())
        self._pending = bytearray()
        self._noise = np.random.default_rng(seed=1)
        self._lead: deque[bytes] = deque(maxlen=_LEAD_FRAMES)
        self._frames = self._first = 0

    def _configure(self, new: Configuration) -> None:
        """Apply new settings; the audio may continue in the middle of a turn."""
        if new.sample_rate != self._configuration.sample_rate:
            self._resampler = Resampler(new.sample_rate, RATE_HZ)
        self._activity.steadiness = Steadiness(silence_ms=new.silence_ms)
        self._configuration = new

    def take(self, kind: Kind, payload: bytes) -> None:
        """Handle one frame of the sandbox."""
        match kind:
            case Kind.CONFIGURE:
                self._configure(Configuration(**json.loads(payload)))
            case Kind.AUDIO:
                self._hear(payload)
            case Kind.FORCE:
                self.force()

    def force(self) -> None:
        """End the turn now."""
        if self._activity.speaking:
            self._activity.stop()
            self._end_turn()
        else:
            self._emit(Heard("idle", self._at_ms(self._frames)))

    def _hear(self, data: bytes) -> None:
        samples = from_mulaw(data) if self._is_mulaw else np.frombuffer(data[: len(data) & ~1], np.int16)
        self._pending += self._with_breath(self._resampler.convert(samples)).tobytes()
        while len(self._pending) >= _FRAME_BYTES:
            frame = bytes(self._pending[:_FRAME_BYTES])
            del self._pending[:_FRAME_BYTES]
            self._hear_frame(frame)

    def _with_breath(self, samples: Samples) -> Samples:
        """Add a little noise, as every microphone has: after digital silence the decoder loses the first words."""
        noise = self._noise.normal(0.0, _BREATH, len(samples))
        return np.clip(samples + noise, -32_768, 32_767).astype(np.int16)

    @property
    def _is_mulaw(self) -> bool:
        return self._configuration.encoding == "pcm_mulaw"

    def _hear_frame(self, frame: bytes) -> None:
        self._frames += 1
        self._lead.append(frame)
        was_speaking = self._activity.speaking
        change = self._activity.frame(self._voiced(frame))
        if change is Change.STARTED:
            self._start()
        elif was_speaking:
            self._decoder.feed(frame)
            self._follow(change)

    def _voiced(self, frame: bytes) -> bool:
        samples = np.frombuffer(frame, np.int16).astype(np.float64)
        return bool(np.sqrt(np.mean(samples**2)) > _QUIET) and bool(self._detector.is_speech(frame))

    def _start(self) -> None:
        self._first = self._frames - len(self._lead)
        self._decoder.begin()
        self._decoder.feed(b"".join(self._lead))
        self._emit(Heard("started", self._at_ms(self._frames)))

    def _follow(self, change: Change) -> None:
        length = self._frames - self._first
        if change is Change.ENDED:
            self._end_turn()
        elif length >= _LONGEST_TURN_FRAMES:
            self.force()
        elif length % _PARTIAL_EVERY_FRAMES == 0:
            self._tell("partial", self._decoder.partial())

    def _end_turn(self) -> None:
        self._tell("final", self._decoder.end())
        self._lead.clear()

    def _tell(self, event: str, words: list[Word]) -> None:
        start = self._at_ms(self._first)
        placed = (Word(word.text, start + word.start_ms, start + word.end_ms, word.confidence) for word in words)
        self._emit(Heard(event, self._at_ms(self._frames), tuple(placed)))

    @staticmethod
    def _at_ms(frames: int) -> int:
        return frames * FRAME_MS


def main() -> None:
    # Ctrl-C reaches the whole process group, but the sandbox stops its recognisers itself.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel reaps the forked processes
    decoder = FixedDecoder(*sys.argv[1:]) if len(sys.argv) > 1 else UtteranceDecoder()
    with socket.socket(fileno=0) as passed:
        while (found := socket.recv_fds(passed, 1, 1))[0]:
            with socket.socket(fileno=found[1][0]) as session:
                if os.fork() == 0:
                    passed.close()
                    _serve(session, decoder)
                    os._exit(0)


def _serve(session: socket.socket, decoder: FixedDecoder | UtteranceDecoder) -> None:
    """Frames in, events out, until the sandbox ends the audio or is gone."""

    def emit(heard: Heard) -> None:
        session.sendall(heard.line())

    with suppress(BrokenPipeError, ConnectionResetError), session.makefile("rb") as frames:
        recogniser = Recogniser(emit, decoder)
        emit(Heard("ready"))
        while (frame := read_frame(frames)) is not None:
            recogniser.take(*frame)
        recogniser.force()


if __name__ == "__main__":
    main()
