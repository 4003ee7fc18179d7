"""The first line of a call: played from the cache, else recorded for it while the provider speaks it."""

# pyright: standard

import asyncio
from collections.abc import Iterator
from typing import Any

from pipecat.frames.frames import TTSAudioRawFrame, TTSStoppedFrame
from pipecat.utils.context.word_timestamp_tracker import WordTimestamp

from agent_runner.domain.delivery import without_tags
from agent_runner.worker.providers.kept_speech import KeptSpeech, Part, Word


class FirstLine:
    """One call's first line; without a cache entry it does nothing.

    Attributes:
        is_cached: The line needs no provider.
    """

    def __init__(self, entry: KeptSpeech | None = None) -> None:
        self._entry = entry
        self._parts: list[Part] = entry.parts() if entry else []
        self._context_id = ""
        self.is_cached = bool(self._parts)

    @property
    def is_expected(self) -> bool:
        """Whether the next utterance will be the cached line."""
        return self.is_cached and not self._context_id

    def is_played_in(self, context_id: str) -> bool:
        """Whether this utterance comes from the cache."""
        return self.is_cached and context_id == self._context_id

    def begin(self, text: str, context_id: str) -> None:
        """Check that the first utterance is the first line: a caller who speaks at once may have interrupted it."""
        if self._entry is not None and not self._context_id:
            if text.strip() == without_tags(self._entry.text).strip():
                self._context_id = context_id
            else:
                self._entry, self.is_cached = None, False

    def items(self, rate: int) -> Iterator[WordTimestamp | TTSAudioRawFrame | TTSStoppedFrame]:
        """The cached line as Pipecat would get it from the provider."""
        for part in self._parts:
            if isinstance(part, Word):
                yield WordTimestamp(part.text, part.at_s, self._context_id)
            else:
                yield TTSAudioRawFrame(part, rate, 1, context_id=self._context_id)
        yield TTSStoppedFrame(context_id=self._context_id)

    def record(self, context_id: str, item: Any) -> None:
        """Record what the provider sends for the line; store the line once it is complete."""
        if not context_id or context_id != self._context_id or self.is_cached:
            return
        if isinstance(item, TTSAudioRawFrame):
            self._parts.append(item.audio)
        elif isinstance(item, WordTimestamp):
            self._parts.append(Word(item.word, item.timestamp))
        elif isinstance(item, TTSStoppedFrame) and self._entry is not None:
            entry, self._entry = self._entry, None
            asyncio.get_running_loop().run_in_executor(None, entry.keep, tuple(self._parts))

    def interrupted(self, context_id: str) -> None:
        """Do not store an incomplete line."""
        if context_id == self._context_id:
            self._entry = None
