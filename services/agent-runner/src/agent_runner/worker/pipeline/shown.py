"""Translates the pipeline's frames into what the caller's client is shown."""

# pyright: standard

from collections.abc import Callable

from pipecat.frames.frames import (
    BotStartedSpeakingFrame,
    BotStoppedSpeakingFrame,
    Frame,
    FunctionCallResultFrame,
    FunctionCallsStartedFrame,
    InterimTranscriptionFrame,
    InterruptionFrame,
    LLMTextFrame,
    TranscriptionFrame,
    TTSTextFrame,
    UserStartedSpeakingFrame,
    UserStoppedSpeakingFrame,
)
from pipecat.observers.base_observer import FramePushed
from pipecat.processors.frame_processor import FrameProcessor

from agent_runner.domain.front_end import Effect, FrontEnd, Step


class ShownFrames:
    """Feeds `FrontEnd`. It sees each frame once for each processor that pushes it."""

    def __init__(
        self,
        show: Callable[[Effect], None],
        *,
        stt: FrameProcessor,
        llm: FrameProcessor,
        output: FrameProcessor,
        heard: FrameProcessor,
    ) -> None:
        """Make the translator; `heard` pushes words once the caller hears them."""
        self._show = show
        self._front_end = FrontEnd()
        self._of: dict[type[Frame], tuple[FrameProcessor | None, Callable[[Frame], Step]]] = {
            InterimTranscriptionFrame: (stt, lambda frame: self._caller_said(frame, is_final=False)),
            TranscriptionFrame: (stt, lambda frame: self._caller_said(frame, is_final=True)),
            UserStartedSpeakingFrame: (None, lambda _: self._front_end.caller_spoke()),
            UserStoppedSpeakingFrame: (None, lambda _: self._front_end.turn_ended()),
            FunctionCallsStartedFrame: (llm, lambda _: self._front_end.tool_ran()),
            FunctionCallResultFrame: (llm, lambda _: self._front_end.tool_ran()),
            LLMTextFrame: (llm, lambda _: self._front_end.model_wrote()),
            BotStartedSpeakingFrame: (output, lambda _: self._front_end.agent_spoke(is_speaking=True)),
            BotStoppedSpeakingFrame: (output, lambda _: self._front_end.agent_spoke(is_speaking=False)),
            InterruptionFrame: (output, lambda _: self._front_end.interrupted()),
            TTSTextFrame: (heard, self._agent_said),
        }

    def see(self, data: FramePushed) -> None:
        """Take a frame that a processor pushed."""
        if (entry := self._of.get(type(data.frame))) is not None:
            source, step = entry
            if data.source is source or (source is None and data.first_push):
                self.take(step(data.frame))

    def began(self) -> None:
        self.take(self._front_end.began())

    def typed(self) -> None:
        self.take(self._front_end.turn_ended())

    def unanswered(self, *, failed: bool = False) -> None:
        """The turn got no answer; `failed`: the model cannot give one."""
        self.take(self._front_end.unanswered(failed=failed))

    def take(self, step: Step) -> None:
        self._front_end, effects = step
        for effect in effects:
            self._show(effect)

    def _caller_said(self, frame: Frame, *, is_final: bool) -> Step:
        assert isinstance(frame, InterimTranscriptionFrame | TranscriptionFrame)
        return self._front_end.caller_said(frame.text, is_final=is_final)

    def _agent_said(self, frame: Frame) -> Step:
        assert isinstance(frame, TTSTextFrame)
        return self._front_end.agent_said(frame.text if frame.includes_inter_frame_spaces else f" {frame.text}")
