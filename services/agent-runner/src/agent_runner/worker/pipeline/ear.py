"""Observes the frames of a pipeline: what is said, when, and how much audio is made and sent."""

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
    """Turns frames into `Talk`. Pipecat reports each frame once for each processor that pushes it, in order."""

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
        self._is_calling = False  # the model called a tool and has not answered since
        self._awaited: tuple[int, asyncio.Event] | None = None
        self.on_success: Callable[[Provider], None] = lambda _provider: None
        self._stt = stt
        self._llm = llm
        self._tts = tts
        self._output = output
        self._on_turn = on_turn

    async def on_push_frame(self, data: FramePushed) -> None:
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
        elif isinstance(frame, OutputAudioRawFrame):  # the output pushes only audio that it wrote
            self.sent_bytes += len(frame.audio)
            if self._awaited is not None and self.sent_bytes >= self._awaited[0]:
                self._awaited[1].set()
            self.talk.marks.sent = self.talk.marks.sent or at
        elif isinstance(frame, InterruptionFrame):
            self.made_bytes = self.sent_bytes  # the output discards the rest
            self._tell(self.talk.opening_ended(interrupted=True))
        elif isinstance(frame, BotStartedSpeakingFrame):
            self._sent_before = self.sent_bytes
            self.quiet.agent(time.monotonic(), is_speaking=True)
        elif isinstance(frame, BotStoppedSpeakingFrame):
            self.quiet.agent(time.monotonic(), is_speaking=False)
            if self.sent_bytes > self._sent_before:  # a part was sent: the pipeline discarded the rest
                self.made_bytes = self.sent_bytes
            self._tell(self.talk.opening_ended(interrupted=False))

    def after(self, size: int) -> asyncio.Event:
        """An event that is set once `size` more bytes are written to the room."""
        self._awaited = self.sent_bytes + size, asyncio.Event()
        return self._awaited[1]

    def user_said(self, text: str) -> None:
        self._tell(self.talk.user_said(text))

    def agent_said(self, text: str, *, interrupted: bool) -> None:
        """The agent's turn ended, or the part of it before a tool's result did."""
        if self._is_calling and not text and not interrupted:
            return
        self._tell(self.talk.agent_said(text, interrupted=interrupted))

    def cut(self) -> None:
        """Record the open turn when the call ends, if any audio was sent."""
        if self.sent_bytes:
            self._tell(self.talk.cut())

    def _tell(self, turn: Turn | None) -> None:
        if turn is not None:
            self._on_turn(turn)
