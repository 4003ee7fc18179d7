"""What the agent is about to say, or waits for, whatever it says meanwhile. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final, Self

LONGEST_S: Final = 30.0
"""Longest wait for the next step of a line or an answer; then nothing counts as due."""

TOOL_S: Final = 60.0
"""Longest wait for a tool: its own deadline, and the end of what the agent says when its result comes."""

_QUESTION_MARKS: Final = frozenset("?？؟")


@dataclass(frozen=True, slots=True)
class Due:
    """A filler, a bridge or a notice that begins is not the answer for which the caller waits.

    Times are seconds of one clock.

    Attributes:
        line_until: A line that the agent says by itself begins by then.
        answer_until: The model's answer goes on by then; it is due until its last word is heard.
        has_begun: The model has begun that answer; else an answer that ends is an older one.
        tools: The ids of the calls that run.
        tools_until: They end by then.
        has_spoken: The caller heard words of the model's last, and no line since.
        has_asked: A question of the model's was among its words since the caller's last turn, whatever was said since.
    """

    line_until: float = 0.0
    answer_until: float = 0.0
    has_begun: bool = False
    tools: frozenset[str] = frozenset()
    tools_until: float = 0.0
    has_spoken: bool = False
    has_asked: bool = False

    def is_open(self, now: float) -> bool:
        """Whether anything is due."""
        return now < max(self.line_until, self.answer_until, self.tools_until)

    def has_tools(self, now: float) -> bool:
        """Whether a tool runs."""
        return now < self.tools_until

    def goes_on_after_tools(self, now: float) -> bool:
        """Whether the model, which is silent, will say more by itself: a tool runs, or its result has come."""
        return now < max(self.answer_until, self.tools_until)

    def takes_replies(self, now: float) -> bool:
        """Whether a tool alone is due and the caller may reply to what the model has said meanwhile."""
        return (self.has_spoken or self.has_asked) and max(self.line_until, self.answer_until) <= now < self.tools_until

    def line(self, now: float) -> Self:
        """The agent is about to say a line by itself."""
        return replace(self, line_until=now + LONGEST_S)

    def line_began(self) -> Self:
        return replace(self, line_until=0.0, has_spoken=self.has_spoken and not self.line_until)

    def asked(self, now: float) -> Self:
        """The model is asked for an answer."""
        return replace(self, answer_until=now + LONGEST_S, has_begun=False)

    def answer_began(self, now: float) -> Self:
        """The model's answer has begun, and all that was said before it is heard."""
        return replace(self, answer_until=now + LONGEST_S, has_begun=True)

    def goes_on(self, now: float, text: str) -> Self:
        """The caller heard this word: of the model's answer or, if none has begun, of a line right behind one."""
        due = self if self.has_begun else self.line_began()
        if not due.answer_until:
            return due
        has_asked = due.has_asked or (due.has_begun and not _QUESTION_MARKS.isdisjoint(text))
        has_spoken = due.has_spoken or due.has_begun
        return replace(due, answer_until=now + LONGEST_S, has_spoken=has_spoken, has_asked=has_asked)

    def answer_ended(self) -> Self:
        """The caller has heard an answer's last word; of some there is nothing to hear."""
        return replace(self, answer_until=0.0, has_begun=False) if self.has_begun else self

    def tools_began(self, now: float, ids: Iterable[str]) -> Self:
        tools = self.tools.union(ids)
        return replace(self, tools=tools, tools_until=now + TOOL_S) if tools else self

    def tool_ended(self, now: float, call_id: str, *, is_asked: bool) -> Self:
        """A tool has a result, or was cancelled; `is_asked`: the model is asked what to say now."""
        tools = self.tools - {call_id}
        due = replace(self, tools=tools, tools_until=self.tools_until if tools else 0.0)
        return due.asked(now) if is_asked else due

    def interrupted(self) -> Self:
        """Lines and answers are discarded, and what was asked is answered; a tool goes on."""
        return replace(self, line_until=0.0, answer_until=0.0, has_begun=False, has_spoken=False, has_asked=False)
