"""What the caller's client is shown: the agent's state, and captions of both sides. Pure."""

from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

AgentState: TypeAlias = Literal["initializing", "listening", "thinking", "speaking"]
Side: TypeAlias = Literal["caller", "agent"]


@dataclass(frozen=True, slots=True)
class Shown:
    """Effect: the agent has entered this state."""

    state: AgentState


@dataclass(frozen=True, slots=True)
class Caption:
    """Effect: one side's words. Captions with the same `segment` replace each other.

    Attributes:
        segment: Its number in the call, over both sides.
        text: All of the segment's words so far; the caller's may change, the agent's only grow. Never empty.
        is_final: The segment is complete.
    """

    side: Side
    segment: int
    text: str
    is_final: bool = False


FrontEndEffect: TypeAlias = Shown | Caption
FrontEndStep: TypeAlias = tuple["FrontEnd", tuple[FrontEndEffect, ...]]


@dataclass(frozen=True, slots=True)
class FrontEnd:
    """One call as its client sees it. Each method takes one event and returns the next state, and the effects in order.

    Attributes:
        has_begun: The agent takes part in the call.
        is_speaking: The agent's audio is being sent.
        is_working: The caller's turn is complete, and the agent has not begun to answer.
        is_calling: A tool runs, or its result waits for the model.
        segments: How many segments have begun.
        agent: The agent's open segment; None: it has none. The words of an utterance may come shortly after its end,
            when the next one has begun.
        utterance: The id of the utterance that has or had the last segment. Its first word may come before its sound.
        is_early: That utterance's first word has come, behind the end of another's sound and before its own.
        caller: The caller's open segment.
    """

    has_begun: bool = False
    is_speaking: bool = False
    is_working: bool = False
    is_calling: bool = False
    segments: int = 0
    agent: Caption | None = None
    utterance: str = ""
    is_early: bool = False
    caller: Caption | None = None

    @property
    def state(self) -> AgentState:
        if self.is_speaking:
            return "speaking"
        if self.is_working or self.is_calling:
            return "thinking"
        return "listening" if self.has_begun else "initializing"

    def began(self) -> FrontEndStep:
        """The agent has joined for this call and takes part in it."""
        return self._to(replace(self, has_begun=True))

    def caller_spoke(self) -> FrontEndStep:
        """The caller began to speak."""
        return self._to(replace(self, is_working=False))

    def turn_ended(self) -> FrontEndStep:
        """The caller's turn is complete, spoken or typed."""
        return self._to(replace(self, has_begun=True, is_working=True))

    def unanswered(self, *, failed: bool = False) -> FrontEndStep:
        """The turn got no answer: it had no words, or the answer had none.

        Args:
            failed: Nor does one follow from a tool's result.
        """
        return self._to(replace(self, is_working=False, is_calling=self.is_calling and not failed))

    def tool_ran(self) -> FrontEndStep:
        """The model called a tool, or the tool answered."""
        return self._to(replace(self, is_calling=True))

    def model_wrote(self) -> FrontEndStep:
        """The model wrote a part of its answer."""
        return self._to(replace(self, is_calling=False, is_working=self.is_working or self.is_calling))

    def agent_spoke(self, *, is_speaking: bool) -> FrontEndStep:
        """The agent started or stopped speaking."""
        if is_speaking:
            return self._to(replace(self, has_begun=True, is_speaking=True, is_working=False, is_early=False))
        return self._to(replace(self, is_speaking=False))

    def settled(self) -> FrontEndStep:
        """The words of an utterance that has ended are all heard; the next one's segment stays open."""
        if self.is_speaking or self.is_early:
            return self, ()
        return self._to(replace(self, agent=None), *self._closed())

    def interrupted(self) -> FrontEndStep:
        """The agent's answer was cut off."""
        after = replace(self, is_speaking=False, is_working=False, is_calling=False, agent=None, is_early=False)
        return self._to(after, *self._closed())

    def agent_said(self, words: str, utterance: str) -> FrontEndStep:
        """The caller heard these words of the utterance with this id; leading and trailing spaces count."""
        of_another = self._closed() if utterance != self.utterance else ()
        open_now = (None if of_another else self.agent) or Caption("agent", self.segments + 1, "")
        added = words if open_now.text else words.lstrip()
        if not added:
            return self, ()
        # A late word of an utterance whose segment is complete: nothing would complete another one.
        is_late = self.agent is None and not self.is_speaking and utterance == self.utterance
        caption = replace(open_now, text=open_now.text + added, is_final=is_late)
        open_now = None if is_late else caption
        after = replace(
            self,
            agent=open_now,
            utterance=utterance,
            is_early=self.is_early or (bool(of_another) and not self.is_speaking),
            segments=max(self.segments, caption.segment),
        )
        return self._to(after, *of_another, caption)

    def caller_said(self, text: str, *, is_final: bool) -> FrontEndStep:
        """Speech to text recognised this in the caller's current utterance."""
        if not text.strip():
            return self, ()
        number = self.caller.segment if self.caller else self.segments + 1
        caption = Caption("caller", number, text.strip(), is_final)
        open_now = None if is_final else caption
        return self._to(replace(self, caller=open_now, segments=max(self.segments, number)), caption)

    def _closed(self) -> tuple[Caption, ...]:
        return () if self.agent is None else (replace(self.agent, is_final=True),)

    def _to(self, after: "FrontEnd", *captions: Caption) -> FrontEndStep:
        return after, captions if after.state == self.state else (*captions, Shown(after.state))
