"""Observes the frames of a pipeline: what is said, when, and how much audio is made and sent."""

# pyright: standard

import asyncio
import time
from collections.abc import Callable
from typing import Final, Literal

from pipecat.frames.frames import (
    AggregatedTextFrame,
    BotStartedSpeakingFrame,
    BotStoppedSpeakingFrame,
    ErrorFrame,
    Frame,
    FunctionCallResultFrame,
    FunctionCallsStartedFrame,
    InterruptionFrame,
    LLMFullResponseStartFrame,
    LLMTextFrame,
    OutputAudioRawFrame,
    TranscriptionFrame,
    TTSAudioRawFrame,
    TTSTextFrame,
    UserStartedSpeakingFrame,
    UserStoppedSpeakingFrame,
    VADUserStartedSpeakingFrame,
    VADUserStoppedSpeakingFrame,
)
from pipecat.observers.base_observer import BaseObserver, FramePushed
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor

from agent_runner.domain.audio_flow import AudioFlow
from agent_runner.domain.floor import Floor
from agent_runner.domain.hearing import Hearing
from agent_runner.domain.quiet import Quiet
from agent_runner.domain.talk import Marks, Talk
from agent_runner.link.messages import Provider, Turn
from agent_runner.worker.pipeline.shown import Showing
from agent_runner.worker.pipeline.turn_start import Transcript
from agent_runner.worker.pipeline.utterance_ends import UtteranceEnds

_NS: Final = 1e9


class Ear(BaseObserver):
    """Turns frames into `Talk`, and tells `Showing` of them.

    Pipecat reports each frame once for each processor that pushes it, in order.
    """

    def __init__(
        self,
        *,
        stt: FrameProcessor,
        llm: FrameProcessor,
        tts: FrameProcessor,
        output: FrameProcessor,
        heard: FrameProcessor,
        on_turn: Callable[[Turn], None],
        on_worked: Callable[[Provider], None],
        hearing: Hearing,
        quiet: Quiet,
        shown: Showing,
        floor: Callable[[], Floor],
    ) -> None:
        """Make the observer; `floor` returns the present state."""
        super().__init__()
        self.shown = shown
        self._floor = floor
        self.talk = Talk()
        self.flow = AudioFlow()
        self.hearing = hearing
        self.quiet = quiet
        # The model called a tool and has written nothing since. "asked": its next answer has begun.
        self._tool: Literal["", "called", "asked"] = ""
        self._awaited: tuple[int, asyncio.Event] | None = None
        self.ends = UtteranceEnds()
        self._on_turn = on_turn
        self._on_worked = on_worked
        self._of: dict[FrameProcessor, Callable[[Frame, float], None]] = {
            stt: self._of_stt,
            llm: self._of_llm,
            tts: self._of_tts,
            output: self._of_output,
            heard: self._of_heard,
        }

    async def on_push_frame(self, data: FramePushed) -> None:
        at = data.timestamp / _NS
        if (observe := self._of.get(data.source)) is not None:
            observe(data.frame, at)
        if data.first_push:
            self._first_seen(data.frame, at, data.direction)

    def _of_stt(self, frame: Frame, at: float) -> None:
        if isinstance(frame, TranscriptionFrame):
            self.talk.asking.transcript = at

    def _of_llm(self, frame: Frame, at: float) -> None:
        if isinstance(frame, FunctionCallsStartedFrame | FunctionCallResultFrame):
            self._tool = "called"
            self._on_worked("llm")
            self.quiet.thinking(time.monotonic())
            self.shown.tool_ran()
        elif isinstance(frame, LLMFullResponseStartFrame):
            self._tool = "asked" if self._tool else ""
        elif isinstance(frame, ErrorFrame):
            self._tool = "called" if self._tool else ""  # an apology follows, which is this turn's answer
        elif isinstance(frame, LLMTextFrame):
            self._tool = ""
            self.talk.is_answering = True
            self.talk.marks.text = self.talk.marks.text or at
            self._on_worked("llm")
            self.shown.model_wrote()

    def _of_tts(self, frame: Frame, at: float) -> None:
        if isinstance(frame, TTSAudioRawFrame):
            self.flow.made(len(frame.audio))
            self._on_worked("tts")
            self.talk.marks.audio = self.talk.marks.audio or at
        elif isinstance(frame, AggregatedTextFrame) and frame.will_be_spoken:
            self.talk.marks.sentence = self.talk.marks.sentence or at

    def _of_heard(self, frame: Frame, _at: float) -> None:
        self.ends.passed(frame)
        if isinstance(frame, TTSTextFrame):
            said = self.ends.said_in(frame)
            self.talk.heard(frame.text, said, includes_spaces=frame.includes_inter_frame_spaces)
            self.shown.agent_said(frame)

    def _of_output(self, frame: Frame, at: float) -> None:
        if isinstance(frame, OutputAudioRawFrame):  # the output pushes only audio that it wrote
            self.flow.sent(len(frame.audio))
            if self._awaited is not None and self.flow.sent_bytes >= self._awaited[0]:
                self._awaited[1].set()
            self.talk.marks.sent = self.talk.marks.sent or at
        elif isinstance(frame, InterruptionFrame):
            self.flow.interrupted()
            self._tell(self.talk.opening_ended(interrupted=True))
            self.shown.interrupted()
        elif isinstance(frame, BotStartedSpeakingFrame):
            self.flow.began()
            self.hearing.answered()
            self.quiet.agent(time.monotonic(), is_speaking=True)
            self.shown.agent_spoke()
        elif isinstance(frame, BotStoppedSpeakingFrame):
            self.flow.ended()
            self.quiet.agent(time.monotonic(), is_speaking=False)
            self._tell(self.talk.opening_ended(interrupted=False))
            self.shown.agent_stopped()

    def _first_seen(self, frame: Frame, at: float, direction: FrameDirection) -> None:
        if isinstance(frame, VADUserStoppedSpeakingFrame):
            self._caller_speaks(frame.stop_secs, False)
            self.talk.asking = Marks(silence=at - frame.stop_secs, noticed=at)
        elif isinstance(frame, VADUserStartedSpeakingFrame):
            self._caller_speaks(frame.start_secs, True)
        elif isinstance(frame, UserStartedSpeakingFrame):
            self.talk.is_asking = True
            self.quiet.turn_began()
            self.shown.caller_spoke()
        elif isinstance(frame, UserStoppedSpeakingFrame):
            if direction is FrameDirection.DOWNSTREAM:  # Pipecat sends another one upstream
                self.talk.decided(at)
            self.quiet.turn_ended(time.monotonic())
            self.shown.turn_ended()

    def _caller_speaks(self, ago_s: float, is_speaking: bool) -> None:
        floor, now = self._floor(), time.monotonic()
        at = now - ago_s
        self.hearing.speech(at, is_on=is_speaking, is_answered=floor.is_agents(now), ago_s=ago_s)
        self.quiet.caller(at, is_speaking=is_speaking, may_echo=floor.may_echo(at))

    def after(self, size: int) -> asyncio.Event:
        """An event that is set once `size` more bytes are written to the room."""
        self._awaited = self.flow.sent_bytes + size, asyncio.Event()
        return self._awaited[1]

    def caller_said(self, heard: Transcript) -> None:
        """These words are the caller's, and no echo of the agent's."""
        is_final = isinstance(heard, TranscriptionFrame)
        self.quiet.words(time.monotonic())
        self.hearing.words(is_final=is_final, in_turn=self._floor().has_turn)
        self.shown.caller_said(heard.text, is_final=is_final)

    def user_said(self, text: str) -> None:
        """The caller's turn ended; without words it is not answered."""
        if text:
            self.hearing.turn_had_words()
        else:
            self.hearing.turn_was_empty(time.monotonic())
            self.quiet.unanswered()
            self.shown.unanswered()
        self.ends.clear()
        self._tell(self.talk.user_said(text))

    def user_typed(self, text: str) -> None:
        """The caller's turn was typed: complete at once, and a sign of life."""
        now = time.monotonic()
        self.quiet.words(now)
        self.quiet.caller(now, is_speaking=False)
        self.quiet.turn_ended(now)
        self.talk.marks = Marks()
        self.user_said(text)
        self.shown.turn_ended()

    def user_added(self) -> None:
        """The caller typed into the spoken turn, so the time to the answer does not count from an earlier silence."""
        self.hearing.answered()
        self.quiet.words(time.monotonic())
        self.talk.asking = Marks()

    def agent_said(self, text: str, *, interrupted: bool, is_cancelled: bool = False) -> None:
        """The agent's line ended, its answer, or the part of it before a tool's result.

        Args:
            is_cancelled: The request to the model was cancelled. Its end may arrive here before the interruption that
                cancelled it, and then passes for the end of an empty answer.
        """
        if not text and not interrupted:
            self.shown.unanswered(failed=self._tool != "called" and not self._floor().due.has_tools(time.monotonic()))
        if self.ends.take() == "line":
            self._tell(self.talk.line_said(text, interrupted=interrupted))
            return
        if self._tool == "called" and not text and not interrupted:
            self.talk.is_answering = False
            return
        goes_on = bool(self._tool) and self._floor().due.goes_on_after_tools(time.monotonic())
        was_cut = interrupted or (is_cancelled and not text)
        self._tell(self.talk.agent_said(text, interrupted=was_cut, goes_on=goes_on and not self.ends.lines_answer))

    def agent_was_lost(self) -> None:
        """The caller heard nothing of what the agent said; an opening line then counts as not said."""
        self._tell(self.talk.opening_ended(interrupted=True))

    def call_ended(self) -> None:
        """Report the open turns, if any audio was sent."""
        for turn in self.talk.cut() if self.flow.sent_bytes else ():
            self._tell(turn)

    def _tell(self, turn: Turn | None) -> None:
        if turn is not None:
            self._on_turn(turn)
