"""Samples of one utterance to words: first with the expected sentences, otherwise with the stock model."""

import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any

import pocketsphinx  # pyright: ignore[reportMissingTypeStubs]

from sandbox.speech import arpa, corpus
from sandbox.speech.protocol import RATE_HZ, Word

_FRAME_MS = 10
_WORD_MS = 250
_ACOUSTICS = "en-us/en-us"
_STOCK_WORDS, _STOCK_MODEL = "en-us/cmudict-en-us.dict", "en-us/en-us.lm.bin"
# Thresholds of an expected sentence: for the whole, or for long sentences per word. With our voices nearly all expected
# sentences exceed them; so do about 40 % of other short sentences, which are then misheard as expected words.
_PROBABLE, _PROBABLE_PER_WORD = 3e-4, 0.3
# The mean cepstrum of our voices: with the stock model's, the first words of a session are lost.
_MEAN_CEPSTRUM = "59.5,0.9,-2.2,24.8,-14.5,1.5,-14.4,-9.5,-2.0,-9.9,9.0,-12.8,4.5"
_LEAVE = 0.05
_LEAST = 1e-30


class UtteranceDecoder:
    """Decodes one utterance at a time: `begin`, `feed` with 16 kHz samples, `partial`, `end`."""

    def __init__(self) -> None:
        self._menu = _menu_decoder()
        self._stock = _decoder(_model(_STOCK_MODEL), _model(_STOCK_WORDS))
        self._audio = bytearray()
        self._last: list[Word] = []

    def begin(self) -> None:
        self._menu.start_utt()
        self._audio.clear()
        self._last = []

    def feed(self, pcm: bytes) -> None:
        self._audio += pcm
        self._menu.process_raw(pcm)

    def partial(self) -> list[Word]:
        """The words so far."""
        self._last = _words(self._menu) or self._last
        return self._last

    def end(self) -> list[Word]:
        """The words of the utterance; empty when none was recognised.

        The whole utterance is decoded again with its own mean: it takes 5 % of its length, and makes fewer errors.

        Source: pocketsphinx sometimes loses its hypothesis at `end_utt`; then the earlier one is used.
        """
        last = self.partial()
        self._menu.end_utt()
        found, probability = self._whole(self._menu)
        if not found:
            return last
        per_word = probability ** (1 / len(found))
        if probability < _PROBABLE and per_word < _PROBABLE_PER_WORD:
            found = self._whole(self._stock)[0] or found
        return [replace(word, confidence=round(per_word, 3)) for word in found]

    def _whole(self, decoder: Any) -> tuple[list[Word], float]:
        """The words of the whole utterance, and their posterior probability."""
        decoder.start_utt()
        decoder.process_raw(bytes(self._audio), full_utt=True)
        decoder.end_utt()
        found = _words(decoder)
        return found, min(max(float(decoder.get_prob()), _LEAST), 1.0) if found else 0.0


class FixedDecoder:
    """Takes every utterance for the same words, evenly spoken, and costs no CPU time."""

    def __init__(self, words: str) -> None:
        self._words = [Word(word, n * _WORD_MS, (n + 1) * _WORD_MS, 1.0) for n, word in enumerate(words.split())]
        self._heard_ms = 0.0

    def begin(self) -> None:
        self._heard_ms = 0.0

    def feed(self, pcm: bytes) -> None:
        self._heard_ms += len(pcm) / 2 / RATE_HZ * 1000

    def partial(self) -> list[Word]:
        return [word for word in self._words if word.end_ms <= self._heard_ms]

    def end(self) -> list[Word]:
        return self._words


def _words(decoder: Any) -> list[Word]:
    if decoder.hyp() is None:
        return []
    return [
        Word(spelling, part.start_frame * _FRAME_MS, (part.end_frame + 1) * _FRAME_MS, 0.0)
        for part in decoder.seg()
        if (spelling := part.word.split("(")[0]) and spelling[0] not in "<["
    ]


def _menu_decoder() -> Any:
    model = arpa.TrigramModel(chain(corpus.expected(), corpus.distractors()), leave=_LEAVE)
    with tempfile.TemporaryDirectory(prefix="sandbox-ear-") as folder:
        grams, words = Path(folder, "menu.arpa"), Path(folder, "menu.dict")
        model.write(grams)
        words.write_text("".join(pronunciations(model.vocabulary)), encoding="utf-8")
        return _decoder(str(grams), str(words))


def pronunciations(vocabulary: Sequence[str]) -> list[str]:
    """The dictionary lines of `vocabulary`, from the stock dictionary and our own additions.

    Raises:
        LookupError: A word of the corpus has no pronunciation.
    """
    wanted = set(vocabulary)
    lines = [line for line in chain(_stock_lines(), corpus.own_pronunciations()) if _spelling(line) in wanted]
    missing = wanted - {_spelling(line) for line in lines}
    if missing:
        raise LookupError(f"no pronunciation of {', '.join(sorted(missing))}; add it to corpus/pronunciations.dict")
    return lines


def _spelling(line: str) -> str:
    return line.split(None, 1)[0].split("(")[0]


def _stock_lines() -> Iterable[str]:
    with Path(_model(_STOCK_WORDS)).open(encoding="utf-8") as file:
        yield from file


@cache
def _model(name: str) -> str:
    sphinx: Any = pocketsphinx
    return str(sphinx.get_model_path(name))


def _decoder(model: str, words: str) -> Any:
    sphinx: Any = pocketsphinx
    acoustics = _model(_ACOUSTICS)
    return sphinx.Decoder(lm=model, dict=words, hmm=acoustics, cmninit=_MEAN_CEPSTRUM, loglevel="FATAL")
