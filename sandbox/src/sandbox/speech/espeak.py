"""espeak-ng through ctypes: text to 16-bit mono samples with the times of its words."""

import ctypes
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import espeakng_loader  # pyright: ignore[reportMissingTypeStubs]

_SYNCHRONOUS = 2
_DONT_EXIT = 0x8000
_UTF8 = 1
_BY_CHARACTER = 1
_RATE, _VOLUME, _PITCH, _RANGE = 1, 2, 3, 4
_EVENT_END_OF_LIST, _EVENT_WORD = 0, 1
_OK = 0
# espeak calls back with this many milliseconds at a time; the value only limits the size of a callback.
_BUFFER_MS = 200


class _EventId(ctypes.Union):
    _fields_ = [("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8)]


class _Event(ctypes.Structure):
    _fields_ = [
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _EventId),
    ]


_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event))


@dataclass(frozen=True)
class Voice:
    """A speaker's sound: an espeak voice with its variant, pitch (0..99), range (0..99) and words per minute."""

    name: str
    pitch: int = 50
    pitch_range: int = 50
    words_per_minute: int = 165


@dataclass(frozen=True)
class WordStart:
    """A word's position in the text (characters from 0) and its start in the audio (seconds)."""

    at: int
    start_s: float


@dataclass(frozen=True)
class Speech:
    """Signed 16-bit little-endian mono samples at `sample_rate` Hz, and the start of each word."""

    pcm: bytes
    sample_rate: int
    words: tuple[WordStart, ...]

    @property
    def duration_s(self) -> float:
        return len(self.pcm) / 2 / self.sample_rate


class SpeechFailedError(RuntimeError):
    """espeak-ng failed; the message names the call and its status."""


class Espeak:
    """The only espeak-ng of this process. Its state is global, so every call takes the lock."""

    _lock = threading.Lock()
    _library: Any = None
    _sample_rate = 0

    def speak(self, text: str, voice: Voice, speaking_rate: float = 1.0) -> Speech:
        """Synthesise `text`, about a thousand times faster than real time.

        Args:
            text: Without markup.
            voice: The speaker.
            speaking_rate: 1.0 is the voice's own pace, 1.5 is 50 % faster.

        Raises:
            SpeechFailedError: The library or the voice cannot be loaded, or synthesis failed.
        """
        with self._lock:
            library = self._load()
            self._choose(library, voice, speaking_rate)
            return self._synthesise(library, text)

    def _load(self) -> Any:
        if Espeak._library is None:
            library = ctypes.CDLL(espeakng_loader.get_library_path())
            data = espeakng_loader.get_data_path().encode()
            rate = library.espeak_Initialize(_SYNCHRONOUS, _BUFFER_MS, data, _DONT_EXIT)
            if rate <= 0:
                raise SpeechFailedError(f"espeak_Initialize gave {rate}: is the espeakng-loader wheel complete?")
            Espeak._library, Espeak._sample_rate = library, int(rate)
        return Espeak._library

    def _choose(self, library: Any, voice: Voice, speaking_rate: float) -> None:
        self._check("espeak_SetVoiceByName", library.espeak_SetVoiceByName(voice.name.encode()))
        parameters = (
            (_RATE, round(voice.words_per_minute * speaking_rate)),
            (_PITCH, voice.pitch),
            (_RANGE, voice.pitch_range),
            (_VOLUME, 100),
        )
        for parameter, value in parameters:
            self._check("espeak_SetParameter", library.espeak_SetParameter(parameter, value, 0))

    def _synthesise(self, library: Any, text: str) -> Speech:
        samples = bytearray()
        words: list[WordStart] = []
        callback = _Callback(_collector(samples, words))
        library.espeak_SetSynthCallback(callback)
        encoded = text.encode()
        status = library.espeak_Synth(encoded, len(encoded) + 1, 0, _BY_CHARACTER, 0, _UTF8, None, None)
        self._check("espeak_Synth", status)
        self._check("espeak_Synchronize", library.espeak_Synchronize())
        return Speech(bytes(samples), self._sample_rate, tuple(words))

    @staticmethod
    def _check(call: str, status: int) -> None:
        if status != _OK:
            raise SpeechFailedError(f"{call} failed with status {status}")


def _collector(samples: bytearray, words: list[WordStart]) -> Callable[[Any, int, Any], int]:
    """The callback that collects one utterance: samples, and the word events between them."""

    def collect(wave: Any, count: int, events: Any) -> int:
        if wave and count > 0:
            samples.extend(ctypes.string_at(wave, count * 2))
        index = 0
        while events[index].type != _EVENT_END_OF_LIST:
            event = events[index]
            if event.type == _EVENT_WORD:
                words.append(WordStart(event.text_position - 1, event.audio_position / 1000))
            index += 1
        return 0

    return collect
