"""What the voice gets of a text: sentences with words, the emotion tag in its model's dialect, no half sentence."""

# pyright: standard

from collections import OrderedDict
from typing import Any, Final

from pipecat.frames.frames import AggregatedTextFrame, EndFrame, LLMFullResponseEndFrame
from pipecat.processors.frame_processor import FrameDirection
from pipecat.services.tts_service import TTSService
from pipecat.utils.text.base_text_aggregator import Aggregation

from agent_runner.domain.answer import up_to_a_sentence
from agent_runner.domain.delivery import TAG, has_words, tag_for, without_tags

CUT: Final = "greenroom.cut"
"""In the metadata of an answer's last frame: the token limit cut the answer."""

_KEPT: Final = 100


class SpokenText(TTSService):
    """Mix in before a text-to-speech service that sends its text by `_send_text`.

    Pipecat's `text_transforms` would change only what is sent: the context and the transcript would keep the tags, and
    an interruption would be found at another place in the text than the caller heard.
    """

    _tags: OrderedDict[str, str]
    """text -> the tag that goes before it on the wire."""
    _has_spoken = False

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._tags = OrderedDict()

    async def _handle_aggregated_text(self, src_frame: AggregatedTextFrame, context_id: str | None = None) -> None:
        """Take the tags out of the text before Pipecat keeps it; skip a text that no voice can say."""
        if not has_words(src_frame.text):
            return
        self._has_spoken = True
        text = without_tags(src_frame.text)
        if tag := tag_for(str(self._settings.model), src_frame.text):
            self._tags[text.strip()] = tag
            while len(self._tags) > _KEPT:
                self._tags.popitem(last=False)
        else:
            self._tags.pop(text.strip(), None)
        src_frame.text = src_frame.raw_text = text
        await super()._handle_aggregated_text(src_frame, context_id)

    def tagged(self, text: str) -> str:
        """The text as the provider gets it."""
        return self._tags.get(text.strip(), "") + text

    async def add_word_timestamps(self, word_times: list[tuple[str, float]], *args: Any, **options: Any) -> None:
        """Drop tags that the provider reports as words."""
        words = [(word, at_s) for word, at_s in word_times if not TAG.fullmatch(word.strip())]
        await super().add_word_timestamps(words, *args, **options)

    async def _handle_llm_response_end(
        self, frame: LLMFullResponseEndFrame | EndFrame, direction: FrameDirection
    ) -> None:
        """Speak an answer that was cut up to its last whole sentence."""
        rest = await self._text_aggregator.flush() if frame.metadata.get(CUT) else None
        if rest is not None and (text := up_to_a_sentence(rest.text, is_alone=not self._has_spoken)):
            await self._handle_aggregated_text(self._aggregated_text_frame(Aggregation(text, rest.type)))
        self._has_spoken = False
        await super()._handle_llm_response_end(frame, direction)
