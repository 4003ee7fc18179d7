"""Watches the frames of a pipeline: what is said, when, and how much audio is made and sent."""

# pyright: standard

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

from pipecat.frames.frames import (
    BotStartedSpeakingFrame,
    BotStoppedSpeakingFrame,
    FunctionCallResultFrame,
    FunctionCallsStartedFrame,
    InterimTranscriptionFrame,
    InterruptionFrame,
    LLMTextFrame,
    OutputAudioRawFrame,
    TranscriptionFrame,
    TTSAudioRawFrame,
    TTSTextFrame,
    UserStoppedSpeakingFrame,
    VADUserStartedSpeakingFrame,
    VADUserStoppedSpeakingFrame,
)
from pipecat.observers.base_observer import BaseObserver, FramePushed
from pipecat.processors.frame_processor import FrameProcessor

from agent_runner.domain.hearing import Hearing
from agent_runner.domain.link import Provider, Turn
from agent_runner.domain.quiet import Quiet
from agent_runner.domain.talk import Marks, Talk

_NS: Final = 1e9


class Ear(BaseObserver):
    """Turns frames into `Talk`. Pipecat tells it of each frame once a processor, in order."""

    def __init__(
        self,
        stt: FrameProcessor,
        llm: FrameProcessor,
        tts: FrameProcessor,
        output: FrameProcessor,
        on_turn: Callable[[Turn], None],
        hearing: Hearing,
        quiet: Quiet,
    ) -> None:
        super().__init__()
        self.talk = Talk()
        self.hearing = hearing
        self.quiet = quiet
        self.made_bytes = 0
        self.sent_bytes = 0
        self._sent_before = 0
        self._is_calling = False  # a tool, whose result the answer waits for
        self._awaited: tuple[int, asyncio.Event] | None = None
        self.on_success: Callable[[Provider], None] = lambda _provider: None
        self._stt = stt
        self._llm = llm
        self._tts = tts
        self._output = output
        self._on_turn = on_turn

    async def on_push_frame(self, data: FramePushed) -> None:
        """Look at one frame on its way from one processor to the next."""
        frame, source, at = data.frame, data.source, data.timestamp / _NS
        if source is self._output:
            self._at_output(frame, at)
        elif source is self._tts:
            if isinstance(frame, TTSAudioRawFrame):
                self.made_bytes += len(frame.audio)
                self.on_success("tts")
                self.talk.marks.audio = self.talk.marks.audio or at
        elif source is self._llm:
            if isinstance(frame, FunctionCallsStartedFrame | FunctionCallResultFrame):
                self._is_calling = True
                self.on_success("llm")
                self.quiet.thinking(time.monotonic())
            elif isinstance(frame, LLMTextFrame):
                self._is_calling = False
                self.talk.marks.text = self.talk.marks.text or at
                self.on_success("llm")
        elif source is self._stt:
            if isinstance(frame, TranscriptionFrame):
                self.hearing.words()
                self.talk.marks.transcript = at
            elif isinstance(frame, InterimTranscriptionFrame):
                self.hearing.words()
        if data.first_push:
            if isinstance(frame, VADUserStoppedSpeakingFrame):
                self._caller_speaks(time.monotonic() - frame.stop_secs, False)
                self.talk.marks = Marks(silence=at - frame.stop_secs)
            elif isinstance(frame, VADUserStartedSpeakingFrame):
                self._caller_speaks(time.monotonic() - frame.start_secs, True)
            elif isinstance(frame, UserStoppedSpeakingFrame):
                self.talk.marks.decided = at
                self.quiet.thinking(time.monotonic())

    def _caller_speaks(self, at: float, is_speaking: bool) -> None:
        self.hearing.speech(at, is_on=is_speaking)
        self.quiet.caller(at, is_speaking=is_speaking)

    def _at_output(self, frame: object, at: float) -> None:
        if isinstance(frame, TTSTextFrame):
            self.talk.heard(frame.text)
        elif isinstance(frame, OutputAudioRawFrame):  # the output pushes on only what it wrote
            self.sent_bytes += len(frame.audio)
            if self._awaited is not None and self.sent_bytes >= self._awaited[0]:
                self._awaited[1].set()
            self.talk.marks.sent = self.talk.marks.sent or at
        elif isinstance(frame, InterruptionFrame):
            self.made_bytes = self.sent_bytes  # the rest is thrown away
            self._tell(self.talk.opening_ended(interrupted=True))
        elif isinstance(frame, BotStartedSpeakingFrame):
            self._sent_before = self.sent_bytes
            self.quiet.agent(time.monotonic(), is_speaking=True)
        elif isinstance(frame, BotStoppedSpeakingFrame):
            self.quiet.agent(time.monotonic(), is_speaking=False)
            if self.sent_bytes > self._sent_before:  # what else was made was dropped on the way
                self.made_bytes = self.sent_bytes
            self._tell(self.talk.opening_ended(interrupted=False))

    def after(self, size: int) -> asyncio.Event:
        """Set when so many more bytes are written."""
        self._awaited = self.sent_bytes + size, asyncio.Event()
        return self._awaited[1]

    def user_said(self, text: str) -> None:
        """The user aggregator closed the caller's turn."""
        self._tell(self.talk.user_said(text))

    def agent_said(self, text: str, *, interrupted: bool) -> None:
        """The assistant aggregator closed the agent's turn, or what of it comes before a tool's result."""
        if self._is_calling and not text and not interrupted:
            return
        self._tell(self.talk.agent_said(text, interrupted=interrupted))

    def cut(self) -> None:
        """The call is over; what nobody was there to hear was not said."""
        if self.sent_bytes:
            self._tell(self.talk.cut())

    def _tell(self, turn: Turn | None) -> None:
        if turn is not None:
            self._on_turn(turn)
