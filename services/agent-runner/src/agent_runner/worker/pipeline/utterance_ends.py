"""Which of the agent's utterances the context's turns are: the model's answers, or lines that it says by itself."""

# pyright: standard

from collections import deque

from pipecat.frames.frames import (
    EndFrame,
    Frame,
    InterruptionFrame,
    LLMAssistantPushAggregationFrame,
    LLMFullResponseEndFrame,
    LLMFullResponseStartFrame,
    TTSStartedFrame,
    TTSTextFrame,
)

from agent_runner.domain.talk import Said


class UtteranceEnds:
    """Follows the frames that reach the assistant aggregator, in their order.

    The aggregator reports the end of a turn without saying whose words it had, and shortly after the frame that ended
    it: by then the next utterance may have begun.

    Attributes:
        lines_answer: The lines that follow are the model's answer, such as its goodbye when it ends the call.
    """

    def __init__(self) -> None:
        self.lines_answer = False
        self._is_answer = False
        self._is_open = False
        self._ended: deque[Said] = deque()

    def passed(self, frame: Frame) -> None:
        """A frame went to the aggregator."""
        match frame:
            case LLMFullResponseStartFrame():
                self._is_answer = self._is_open = True
            case TTSStartedFrame():
                self._is_open = self._is_open or frame.append_to_context
            case LLMAssistantPushAggregationFrame() | LLMFullResponseEndFrame() | InterruptionFrame() | EndFrame():
                if self._is_open:
                    self._ended.append(self._said)
                self._is_answer = self._is_open = False
            case _:
                pass

    def said_in(self, frame: TTSTextFrame) -> Said:
        """Whose words these are."""
        if not frame.append_to_context:
            return "aside"
        return self._said

    @property
    def _said(self) -> Said:
        return "answer" if self._is_answer or self.lines_answer else "line"

    def take(self) -> Said:
        """What the turn was whose end the aggregator reports."""
        return self._ended.popleft() if self._ended else "answer"

    def clear(self) -> None:
        """Start from a known place: an interruption may discard a frame before it reaches the aggregator."""
        self._ended.clear()
