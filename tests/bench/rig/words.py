"""Which words of a known answer a recording holds: each word's own sound is looked for, in order.

Silence is taken out of both first, so that an answer that paused and went on equals one that did not. A word in which
the answer paused is there when both its parts are, one behind the other: between them the caller's jitter buffer makes
up to 0.15 s of the sound itself.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .talker import RATE, Samples, loud

BLOCK = RATE // 100
LEAST_LIKENESS = 0.6  # of the waveforms: 0.9 and more after Opus, under 0.5 for another word of the same voice
BACK_S = 0.15
NEAR_S, FAR_S = 0.3, 1.5  # behind the word before; near first, because a short word is like a part of a later one
SPLITS = (0.3, 0.4, 0.5, 0.6, 0.7)  # where a pause may have cut a word
MADE_UP_S = 0.15
PIECE_S = 0.04
PIECE_LIKENESS, MOST_PIECES = 0.7, 0.75  # a short piece is like more others; some hold the sound that was made up

Wave = NDArray[np.float64]


@dataclass(frozen=True)
class Spoken:
    """One sentence as the voice says it: samples at RATE, and each word with its times in seconds."""

    samples: Samples
    words: Sequence[tuple[str, float, float]]


def lost(sentences: Sequence[Spoken], recording: Samples) -> list[str]:
    """The words that are not in the recording."""
    heard, _ = _without_silence(recording)
    missing: list[str] = []
    at = passed = 0  # behind the last word that was found, and the length of those that were not since
    for sentence in sentences:
        spoken, place = _without_silence(sentence.samples)
        for word, begin_s, end_s in sentence.words:
            begin, end = (int(place[min(len(place) - 1, int(s * RATE))]) for s in (begin_s, end_s))
            sound = spoken[begin:end]
            begin, end = at - int(BACK_S * RATE), at + passed + len(sound)
            behind = _behind(sound, heard, begin, end + int(NEAR_S * RATE))
            if behind is None:
                behind = _behind(sound, heard, begin, end + int(FAR_S * RATE))
            if behind is None:
                missing.append(word)
                passed += len(sound)
            else:
                at, passed = behind, 0
    return missing


def _behind(sound: Wave, heard: Wave, begin: int, end: int) -> int | None:
    """Where the sound ends in this stretch, whole or in two parts; None if it is not there."""
    found = _find(sound, heard, begin, end)
    if found is not None:
        return found + len(sound)
    parts = _behind_parts(sound, heard, begin, end)
    return _behind_pieces(sound, heard, begin, end) if parts is None else parts


def _behind_pieces(sound: Wave, heard: Wave, begin: int, end: int) -> int | None:
    """Where the sound ends if the jitter buffer has stretched it: most of its pieces follow each other there."""
    pieces = np.array_split(sound, max(1, round(len(sound) / RATE / PIECE_S)))
    slack, missing, at = int(MADE_UP_S * RATE), 0, None
    for piece in pieces:
        stretch = (begin, end) if at is None else (at - BLOCK, at + len(piece) + slack)
        found = _find(piece, heard, *stretch, least=PIECE_LIKENESS)
        if found is None:
            missing += 1
            at = None if at is None else at + len(piece)
            continue
        if at is not None:
            slack -= max(0, found - at)
        at = found + len(piece)
    return at if len(pieces) - missing >= MOST_PIECES * len(pieces) else None


def _behind_parts(sound: Wave, heard: Wave, begin: int, end: int) -> int | None:
    """Where the sound ends in this stretch if it is there in two parts; None if it is not."""
    found: list[int] = []
    for split in SPLITS:
        first, second = np.split(sound, [int(split * len(sound))])
        if (at := _find(first, heard, begin, end)) is not None:
            ends = at + len(first)
            rest = _find(second, heard, ends - BLOCK, ends + len(second) + int(MADE_UP_S * RATE))
            found += [] if rest is None else [rest + len(second)]
    return min(found, default=None)


def _without_silence(samples: Samples) -> tuple[Wave, NDArray[np.int64]]:
    """The samples but for every silence over 10 ms, and for each original sample its place there."""
    kept = np.zeros(len(samples), dtype=bool)
    audible = np.flatnonzero(loud(samples))
    for stretch in np.split(audible, np.flatnonzero(np.diff(audible) > BLOCK) + 1):
        if len(stretch):
            kept[stretch[0] : stretch[-1] + 1] = True
    return samples[kept].astype(np.float64), np.concatenate([[0], np.cumsum(kept)])


def _find(sound: Wave, heard: Wave, begin: int, end: int, least: float = LEAST_LIKENESS) -> int | None:
    """Where in this stretch the sound is; None if nowhere."""
    begin = max(0, begin)
    stretch = heard[begin:end]
    if len(sound) < BLOCK or len(stretch) < len(sound):
        return None if len(sound) >= BLOCK else begin
    size = 1 << (len(stretch) + len(sound) - 1).bit_length()
    product = np.fft.irfft(np.fft.rfft(stretch, size) * np.conj(np.fft.rfft(sound, size)), size)
    product = product[: len(stretch) - len(sound) + 1]
    energy = np.concatenate([[0.0], np.cumsum(stretch**2)])
    power = np.sqrt((energy[len(sound) :] - energy[: -len(sound)]) * np.sum(sound**2))
    likeness = product / np.maximum(power, 1.0)
    best = int(np.argmax(likeness))
    return begin + best if likeness[best] >= least else None
