"""The conversation as it happens: which parts become a `Turn`, with which text and latencies."""

from dataclasses import dataclass, field, replace
from math import inf
from typing import Final, Literal, NamedTuple, TypeAlias

from agent_runner.domain.spacing import spaced
from agent_runner.link.messages import Turn


@dataclass(slots=True)
class Marks:
    """When each stage of one answer ended, in seconds of one clock; None: not yet.

    Attributes:
        silence: The caller's speech ended.
        noticed: The local model judged that it had.
        transcript: The last final transcript came.
        decided: The caller's turn was judged complete; the LLM request starts.
        text: The LLM's first text came.
        sentence: The first sentence went to the voice.
        audio: The TTS's first audio came.
        sent: The first audio was written to the room.
    """

    silence: float | None = None
    noticed: float | None = None
    transcript: float | None = None
    decided: float | None = None
    text: float | None = None
    sentence: float | None = None
    audio: float | None = None
    sent: float | None = None

    def stage_ms(self) -> dict[str, int]:
        """Milliseconds of each stage that is known; the first six add up to `total`.

        `endpointing`: the silence that ends the speech, and from the transcript to the decision. `stt`: from the end of
        that silence to the transcript. `llm`: from the decision to the first text. `sentence`: from there to the first
        sentence. `tts`: from there to the first audio. `transport`: from there to its write to the room; the network to
        the caller's ear comes on top. `total`: from the end of speech to that write. `turn`: the part of `endpointing`
        behind the transcript.

        A stage whose end was not seen is part of the next one. What came after the first audio was written, such as the
        model's text after a filler, ended for the caller with that audio.
        """
        if self.decided is None:
            return {}
        begin = self.decided if self.silence is None else self.silence
        end = inf if self.sent is None else self.sent

        def ms(mark: float) -> int:
            return max(0, round((min(mark, end) - begin) * 1000))

        at = ms(self.decided)
        found: dict[str, int] = {}
        if self.silence is not None:
            noticed = min(at, ms(self.silence if self.noticed is None else self.noticed))
            transcript = noticed if self.transcript is None else min(at, ms(self.transcript))
            stt = max(0, transcript - noticed)
            found = {"endpointing": at - stt, "stt": stt, "turn": at - transcript}
        is_whole = self.sentence is not None and (self.audio is None or self.sentence <= self.audio)
        sentence = self.sentence if is_whole else None  # else the voice spoke its first words before its end
        for stage, mark in (("llm", self.text), ("sentence", sentence), ("tts", self.audio), ("transport", self.sent)):
            if mark is not None:
                reached = max(at, ms(mark))
                found[stage], at = reached - at, reached
        if self.silence is not None and self.sent is not None:
            found["total"] = at
        return found


class Summary(NamedTuple):
    """The older turns in words, all but the last `keeps` turns of the caller."""

    text: str
    keeps: int


NO_SUMMARY: Final = Summary("", 0)

Said: TypeAlias = Literal["answer", "line", "aside"]
"""Whose words: the model's, a line's that the agent says by itself, or a line's that the context does not have."""


@dataclass(slots=True)
class _Answer:
    """The opening line, or the model's answer.

    Attributes:
        words: Heard so far.
        begun: The answer's part that ended before a tool's result.
        stage_ms: That part's latencies.
    """

    words: list[str] = field(default_factory=list[str])
    begun: str = ""
    stage_ms: dict[str, int] = field(default_factory=dict[str, int])


@dataclass(slots=True)
class _Lines:
    """The agent's own lines.

    Attributes:
        words: Of the line that is being said.
        said: How many were said behind the open question.
        is_owed: The open question is one that the epoch before left.
    """

    words: list[str] = field(default_factory=list[str])
    said: int = 0
    is_owed: bool = False


class Talk:
    """Follows one epoch's conversation. A method that completes a turn returns it.

    Turn 0 is the opening or bridge line, which the agent speaks unasked; the others count from 1, also the answer to a
    question that the epoch before left open. What the model says before a tool's result and after it is one answer. A
    line that is said while a question waits for its answer is another turn, with a number behind the question's. The
    bridge line is turn 0 also then.
    """

    def __init__(self) -> None:
        self.marks = Marks()  # of the turn that is being answered
        self.asking = Marks()  # since the caller's speech last ended
        self.questions = 0  # turns of the caller
        self.said = ""  # what the caller has heard of the newest answer or opening line
        self.is_answering = False  # the model's words came, and their turn has not ended
        self.is_asking = False  # the caller's turn has begun and not ended
        self.summary = NO_SUMMARY  # to be told with the next turn
        self._n = 0
        self._user_text: str | None = None
        self._opening: str | None = None
        self._answer = _Answer()
        self._lines = _Lines()

    def open_with(self, line: str) -> None:
        """The agent is about to speak this line; the LLM's context has it already."""
        self._opening = line

    def owe(self) -> None:
        """The epoch before left a question open: its answer is turn 1, whatever the agent says by itself before."""
        self._lines.is_owed = True

    def heard(self, words: str, said: Said = "answer", *, includes_spaces: bool = False) -> None:
        """Record words that were played to the room. Of the asides only the opening line's are a turn.

        Args:
            includes_spaces: The words have the spaces that stand around them, which in Chinese and Japanese are none.
        """
        if said != "aside" or self._opening is not None:
            with_space = words if includes_spaces else f" {words.strip()}"
            (self._lines.words if said == "line" else self._answer.words).append(with_space)

    def decided(self, at: float) -> None:
        """The caller's turn was judged complete: the answer's stages count from its end.

        Words of the caller during the answer have marks of another turn; late words, for which the turn did not wait,
        those of their sound.
        """
        self.marks = replace(self.asking, decided=at)
        if self.asking.transcript is not None:
            self.asking = Marks()

    def user_said(self, text: str) -> Turn | None:
        """Begin with the caller's next turn. If the turn before got no answer, or only its begin, return it.

        A question of the epoch before is then no longer open; if lines were said behind it, its number stays unused.
        """
        self.is_asking = False
        begun = self._answer.begun
        unanswered = self._complete(begun, interrupted=not begun) if begun or self._user_text is not None else None
        if text.strip():
            if self._lines.said:
                self._n, self._lines.said = self.number + 1 + self._lines.said, 0
            self._lines.is_owed = False
            self._user_text = text.strip()
            self.questions += 1
        return unanswered

    def opening_ended(self, *, interrupted: bool) -> Turn | None:
        """The agent stopped speaking; returns a turn if it was speaking the opening line."""
        if self._opening is None:
            return None
        text = _joined(self._answer.words) if interrupted else self._opening
        turn = self._complete(text, interrupted=interrupted, said="line")
        self._opening = None
        return turn

    def agent_said(self, text: str, *, interrupted: bool, goes_on: bool = False) -> Turn | None:
        """The answer ended; `text` is the spoken part of it, which is also the part in the LLM's context.

        If the answer to a question of the epoch before failed, the next line says so and stands for it.

        Args:
            goes_on: A tool that was called for it still runs. The turn stays open, until the answer from its result.
        """
        self.is_answering = False
        begun = self._answer.begun
        text = (begun + spaced(text, begun)).strip()
        if goes_on and text and not interrupted:
            self.said = text
            self._answer = _Answer([text], text, self._answer.stage_ms or self._stage_ms)
            return None
        if self._user_text is None and not text:
            self._lines.is_owed = self._lines.is_owed and interrupted
            return None
        return self._complete(text, interrupted=interrupted)

    def line_said(self, text: str, *, interrupted: bool) -> Turn | None:
        """A line ended that the agent said by itself; `text` as in `agent_said`. An open question stays open."""
        self._lines.words.clear()
        if not text.strip():
            return None
        n = self._line_number
        if self._is_awaited:
            self._lines.said += 1
        else:
            self._n, self._lines.said = n + 1 + self._lines.said, 0
        return self._told(n, "", text.strip(), interrupted=interrupted, said="line")

    def cut(self) -> tuple[Turn, ...]:
        """The call ends: return the turns in progress."""
        if self._opening is not None:
            found = [self.opening_ended(interrupted=True)] if self._answer.words else []
        else:
            found = [self.line_said(_joined(self._lines.words), interrupted=True)]
            found += [self._complete(_joined(self._answer.words), interrupted=True)] if self._is_open else []
        return tuple(turn for turn in found if turn is not None)

    def so_far(self) -> Turn | None:
        """The turn in progress, up to now; None between two turns."""
        is_line = self._user_text is None and bool(self._lines.words)
        words, n = (self._lines.words, self._line_number) if is_line else (self._answer.words, self.number)
        if not self._is_open and not words:
            return None
        said = "line" if is_line or n == 0 else "answer"
        return Turn(n=n, user_text=self._user_text or "", heard_text=_joined(words), interrupted=True, said=said)

    @property
    def number(self) -> int:
        """The number of the answer in progress; 0 is the opening line."""
        return self._n if self._opening is not None and self._user_text is None else max(1, self._n)

    @property
    def _stage_ms(self) -> dict[str, int]:
        return {} if self._user_text is None else self.marks.stage_ms()

    @property
    def _line_number(self) -> int:
        return self.number + self._lines.said + 1 if self._is_awaited else self._n

    @property
    def _is_awaited(self) -> bool:
        """A question waits for its answer, or for all of it, and the line that is said is not the bridge line."""
        return self._user_text is not None or self._answer.begun != "" or (self._lines.is_owed and self._n > 0)

    @property
    def _is_open(self) -> bool:
        return self._user_text is not None or bool(self._answer.words)

    def _complete(self, heard_text: str, *, interrupted: bool, said: Said = "answer") -> Turn:
        self.is_answering, self.said = False, heard_text
        stage_ms = self._answer.stage_ms or self._stage_ms
        turn = self._told(
            self.number, self._user_text or "", heard_text, interrupted=interrupted, said=said, stage_ms=stage_ms
        )
        self._n, self._lines.said, self._lines.is_owed = turn.n + 1 + self._lines.said, 0, False
        self._user_text, self._answer = None, _Answer()
        return turn

    def _told(
        self,
        n: int,
        user_text: str,
        heard_text: str,
        *,
        interrupted: bool,
        said: Said,
        stage_ms: dict[str, int] | None = None,
    ) -> Turn:
        summary, self.summary = self.summary, NO_SUMMARY
        return Turn(
            n=n,
            user_text=user_text,
            heard_text=heard_text,
            interrupted=interrupted,
            stage_ms=stage_ms or {},
            summary=summary.text,
            summary_keeps=summary.keeps,
            said=said,
        )


def _joined(words: list[str]) -> str:
    return "".join(words).strip()
