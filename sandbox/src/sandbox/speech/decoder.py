"""Samples of one utterance to words: first among the expected sentences, failing that in the stock model."""

import math
import tempfile
from collections.abc import Iterable, Sequence
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any

import pocketsphinx  # pyright: ignore[reportMissingTypeStubs]

from sandbox.speech import arpa, corpus
from sandbox.speech.protocol import Word

_FRAME_MS = 10
_ACOUSTICS = "en-us/en-us"
_STOCK_WORDS, _STOCK_MODEL = "en-us/cmudict-en-us.dict", "en-us/en-us.lm.bin"
# Measured over our voices: expected sentences came out above 0.44, others below 0.40 and nearly all below 0.25.
_LEAST_CONFIDENCE = 0.35
_LEAVE = 0.15


class UtteranceDecoder:
    """Decodes one utterance at a time: `begin`, `feed` with 16 kHz samples, `partial`, `end`."""

    def __init__(self) -> None:
        self._menu = _menu_decoder()
        self._stock: Any = None
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
        """What it sounds like so far."""
        self._last = _words(self._menu, 0.0) or self._last
        return self._last

    def end(self) -> list[Word]:
        """The utterance; empty when no word was recognised.

        Source: pocketsphinx sometimes has no hypothesis after `end_utt` though it had one before; that one counts.
        """
        last = self.partial()
        self._menu.end_utt()
        hypothesis = self._menu.hyp()
        if hypothesis is None:
            return last
        found = _words(self._menu, 1.0)
        confidence = self._confidence(len(found))
        if confidence < _LEAST_CONFIDENCE:
            found, confidence = self._in_stock_model() or found, _LEAST_CONFIDENCE
        return [Word(word.text, word.start_ms, word.end_ms, round(confidence, 3)) for word in found]

    def _confidence(self, words: int) -> float:
        """The utterance's posterior probability, per word."""
        probability = max(float(self._menu.get_prob()), 1e-30)
        return math.exp(math.log(min(probability, 1.0)) / max(words, 1))

    def _in_stock_model(self) -> list[Word]:
        if self._stock is None:
            self._stock = _decoder(_model(_STOCK_MODEL), _model(_STOCK_WORDS))
        self._stock.start_utt()
        self._stock.process_raw(bytes(self._audio), full_utt=True)
        self._stock.end_utt()
        return _words(self._stock, 1.0)


def _words(decoder: Any, confidence: float) -> list[Word]:
    if decoder.hyp() is None:
        return []
    return [
        Word(spelling, part.start_frame * _FRAME_MS, (part.end_frame + 1) * _FRAME_MS, confidence)
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
    """The dictionary lines of `vocabulary`, from the stock dictionary and from our own additions.

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
    return str(pocketsphinx.get_model_path(name))


def _decoder(model: str, words: str) -> Any:
    return pocketsphinx.Decoder(lm=model, dict=words, hmm=_model(_ACOUSTICS), loglevel="FATAL")
