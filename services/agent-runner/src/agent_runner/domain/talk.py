"""The conversation as it happens: what becomes a `Turn`, with which text and which latencies."""

from __future__ import annotations

from dataclasses import dataclass

from agent_runner.domain.link import Turn


@dataclass(slots=True)
class Marks:
    """When each stage of one answer came, in seconds of one clock; None until it did.

    Attributes:
        silence: The caller's speech ended.
        transcript: The last final transcript came.
        decided: The caller's turn was judged to be over; the LLM is asked.
        text: The LLM's first text came.
        audio: The TTS's first audio came.
        sent: The first audio was written to the room.
    """

    silence: float | None = None
    transcript: float | None = None
    decided: float | None = None
    text: float | None = None
    audio: float | None = None
    sent: float | None = None

    def stage_ms(self) -> dict[str, int]:
        """Whole ms a stage, for the stages that are known.

        `stt` from the end of speech to the transcript, `turn` from there to the decision, `llm` from the decision to
        the first text, `tts` from there to the first audio, `total` from the end of speech to audio in the room.
        """
        spans = {
            "stt": (self.silence, self.transcript),
            "turn": (self.transcript, self.decided),
            "llm": (self.decided, self.text),
            "tts": (self.text, self.audio),
            "total": (self.silence, self.sent),
        }
        return {
            stage: max(0, round((end - start) * 1000))
            for stage, (start, end) in spans.items()
            if start is not None and end is not None
        }


class Talk:
    """Follows one epoch's conversation. Each method may complete a turn, which it returns.

    Turn 0 is the opening or bridge line, which the agent speaks unasked; the others count from 1.
    """

    def __init__(self) -> None:
        self.marks = Marks()
        self._n = 0
        self._user_text: str | None = None
        self._opening: str | None = None
        self._words: list[str] = []

    def open_with(self, line: str) -> None:
        """The agent is about to speak this line, which already stands in the LLM's context."""
        self._opening = line

    def heard(self, words: str) -> None:
        """This went out as audio."""
        self._words.append(words.strip())

    def user_said(self, text: str) -> Turn | None:
        """The caller's turn is over. A turn that nobody answered is complete with nothing heard."""
        unanswered = self._finish("", interrupted=True) if self._user_text is not None else None
        if text.strip():
            self._user_text = text.strip()
        return unanswered

    def opening_ended(self, *, interrupted: bool) -> Turn | None:
        """The agent stopped speaking; a turn if it was the opening line."""
        if self._opening is None:
            return None
        text = " ".join(self._words) if interrupted else self._opening
        self._opening = None
        return self._finish(text, interrupted=interrupted)

    def agent_said(self, text: str, *, interrupted: bool) -> Turn | None:
        """The agent's turn is over; `text` is the part of it that was spoken, as it stands in the LLM's context."""
        if self._user_text is None and not text.strip():
            return None
        return self._finish(text.strip(), interrupted=interrupted)

    def cut(self) -> Turn | None:
        """The call ends here, whoever is speaking."""
        if self._opening is not None:
            return self.opening_ended(interrupted=True) if self._words else None
        if self._user_text is None and not self._words:
            return None
        return self._finish(" ".join(self._words), interrupted=True)

    def so_far(self) -> Turn | None:
        """The turn that is not over yet, as far as it came; None between two turns."""
        if self._user_text is None and not self._words:
            return None
        return Turn(n=self._number, user_text=self._user_text or "", heard_text=" ".join(self._words), interrupted=True)

    @property
    def _number(self) -> int:
        """Of the turn that goes on; 0 is for the opening line."""
        return self._n if self._user_text is None else max(1, self._n)

    def _finish(self, heard_text: str, *, interrupted: bool) -> Turn:
        is_unasked = self._user_text is None
        turn = Turn(
            n=self._number,
            user_text=self._user_text or "",
            heard_text=heard_text,
            interrupted=interrupted,
            stage_ms={} if is_unasked else self.marks.stage_ms(),
        )
        self._n = turn.n + 1
        self._user_text = None
        self._words.clear()
        return turn
