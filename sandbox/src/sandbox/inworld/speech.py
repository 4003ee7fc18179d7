"""Text to samples at the requested rate, with the time of each word, and to Inworld's chunks."""

import base64
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from sandbox.inworld.order import Order
from sandbox.speech import pcm
from sandbox.speech.espeak import Espeak, Speech, Voice

CHUNK_S = 0.5
# Utterances; one of 10 s at 48 kHz takes a megabyte.
_KEPT = 32
# What directs a voice instead of being spoken: a pause, on TTS-2 any instruction, on earlier models these words alone.
_PAUSE = re.compile(r"<break\b[^>]*>")
_INSTRUCTION = re.compile(r"\[[^\]]*\]")
_TAG = re.compile(
    r"\[(?:happy|sad|angry|surprised|fearful|disgusted|laughing|whispering|breathe|clear_throat|cough|laugh|sigh|yawn)\]"
)
_WORD = re.compile(r"\S+")
_SENTENCE_END = re.compile(r"[.!?。！？।][\"')\]」』]*\s*$")


@dataclass(frozen=True)
class TimedWord:
    """A word as written, and its time (seconds)."""

    text: str
    start_s: float
    end_s: float


@dataclass(frozen=True)
class Utterance:
    """16-bit mono samples at `sample_rate` Hz, and their words."""

    pcm: bytes
    sample_rate: int
    words: tuple[TimedWord, ...]


def speakable(text: str, model: str) -> str:
    """`text` as this voice model reads it: literally, save for the tags that it knows."""
    tags = _INSTRUCTION if model == "inworld-tts-2" else _TAG
    return " ".join(_PAUSE.sub(" ", tags.sub(" ", text)).split())


def ends_a_sentence(text: str) -> bool:
    return _SENTENCE_END.search(text) is not None


def utterance(voice: Espeak, order: Order, text: str) -> Utterance:
    """Synthesise `text`; empty for a text without words."""
    spoken = speakable(text, order.model_id)
    rate = order.audio_config.sample_rate_hertz
    if not any(character.isalnum() for character in spoken):
        return Utterance(b"", rate, ())
    return _spoken(voice, order.speaker.voice, order.audio_config.speaking_rate, rate, spoken)


@lru_cache(_KEPT)
def _spoken(voice: Espeak, speaker: Voice, speaking_rate: float, rate: int, text: str) -> Utterance:
    """Cached: greetings are the same in every call, and should take no CPU time from the calls that are measured."""
    speech = voice.speak(text, speaker, speaking_rate)
    return Utterance(pcm.resampled(speech.pcm, speech.sample_rate, rate), rate, timed_words(text, speech))


def chunks(order: Order, spoken: Utterance) -> Iterator[dict[str, Any]]:
    """The utterance in chunks of half a second; the first chunk has the words."""
    size = int(spoken.sample_rate * CHUNK_S) * 2
    for start in range(0, len(spoken.pcm), size):
        yield chunk(order, Utterance(spoken.pcm[start : start + size], spoken.sample_rate, spoken.words), start == 0)


def chunk(order: Order, spoken: Utterance, with_words: bool = True) -> dict[str, Any]:
    """Audio in the requested encoding, and the words if requested."""
    content = pcm.wav(spoken.pcm, spoken.sample_rate) if order.in_wav else spoken.pcm
    found: dict[str, Any] = {"audioContent": base64.b64encode(content).decode()}
    if with_words and order.wants_words:
        found["timestampInfo"] = {"wordAlignment": alignment(spoken.words)}
    return found


def timed_words(text: str, speech: Speech) -> tuple[TimedWord, ...]:
    """The words of `text` at the times reported by espeak-ng.

    espeak-ng reports a word by its place in the text and may report parts of what is written as one ("o'clock",
    "3.15"), so a word starts with the first report inside it, and without one where the next word starts. A word ends
    where the next one starts.
    """
    places = [found.span() for found in _WORD.finditer(text)]
    timed: list[TimedWord] = []
    following = speech.duration_s
    for begin, end in reversed(places):
        start = next((word.start_s for word in speech.words if begin <= word.at < end), following)
        timed.append(TimedWord(text[begin:end], start, following))
        following = start
    return tuple(reversed(timed))


def alignment(words: Sequence[TimedWord]) -> dict[str, Any]:
    return {
        "words": [word.text for word in words],
        "wordStartTimeSeconds": [round(word.start_s, 3) for word in words],
        "wordEndTimeSeconds": [round(word.end_s, 3) for word in words],
    }
