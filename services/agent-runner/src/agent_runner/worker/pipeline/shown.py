"""Tells the caller's client what the pipeline's frames mean to the caller."""

# pyright: standard

import asyncio
from collections.abc import Callable
from typing import Final

from pipecat.frames.frames import TTSTextFrame

from agent_runner.domain.front_end import FrontEnd, FrontEndEffect, FrontEndStep

_SETTLES_S: Final = 0.5
"""From the agent's last audio into LiveKit's queue (0.2 s) until its last word is heard."""


class Showing:
    """Feeds `FrontEnd`, and performs its effects with `show`."""

    def __init__(self, show: Callable[[FrontEndEffect], None]) -> None:
        self._show = show
        self._front_end = FrontEnd()
        self._settling: asyncio.TimerHandle | None = None

    def began(self) -> None:
        self._take(self._front_end.began())

    def caller_said(self, text: str, *, is_final: bool) -> None:
        self._take(self._front_end.caller_said(text, is_final=is_final))

    def caller_spoke(self) -> None:
        self._take(self._front_end.caller_spoke())

    def turn_ended(self) -> None:
        """The caller's turn is complete: spoken or typed."""
        self._take(self._front_end.turn_ended())

    def unanswered(self, *, failed: bool = False) -> None:
        """The turn got no answer; `failed`: nor does one follow from a tool's result."""
        self._take(self._front_end.unanswered(failed=failed))

    def tool_ran(self) -> None:
        self._take(self._front_end.tool_ran())

    def model_wrote(self) -> None:
        self._take(self._front_end.model_wrote())

    def agent_spoke(self) -> None:
        self._take(self._front_end.agent_spoke(is_speaking=True))

    def agent_stopped(self) -> None:
        if self._settling is not None:
            self._settling.cancel()
        self._settling = asyncio.get_running_loop().call_later(_SETTLES_S, self._settle)
        self._take(self._front_end.agent_spoke(is_speaking=False))

    def agent_said(self, frame: TTSTextFrame) -> None:
        """The caller heard these words."""
        words = frame.text if frame.includes_inter_frame_spaces else f" {frame.text}"
        self._take(self._front_end.agent_said(words, frame.context_id or ""))

    def interrupted(self) -> None:
        self._take(self._front_end.interrupted())

    def _settle(self) -> None:
        self._take(self._front_end.settled())

    def _take(self, step: FrontEndStep) -> None:
        self._front_end, effects = step
        for effect in effects:
            self._show(effect)
