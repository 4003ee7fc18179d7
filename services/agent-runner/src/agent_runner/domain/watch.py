"""What a running call needs attention for: a notice to say, an idle caller, a deaf or mute agent. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

from agent_runner.domain.audio_flow import AudioFlow
from agent_runner.domain.hearing import Hearing
from agent_runner.domain.link import Turn, Unfinished
from agent_runner.domain.muteness import Muteness
from agent_runner.domain.notice import Notice
from agent_runner.domain.quiet import Quiet


@dataclass(frozen=True, slots=True)
class Say:
    """Say a notice."""

    text: str


@dataclass(frozen=True, slots=True)
class AskIdle:
    """Ask the silent caller whether they are still there."""


@dataclass(frozen=True, slots=True)
class EndIdle:
    """End the call of a silent caller."""


@dataclass(frozen=True, slots=True)
class Deaf:
    """Replace the session of speech to text: the caller has spoken without a word coming back.

    Attributes:
        for_s: Seconds since that speech began.
        times: How often in a row.
        is_hopeless: Whether that is too often.
    """

    for_s: float
    times: int
    is_hopeless: bool


@dataclass(frozen=True, slots=True)
class Mute:
    """End the call: speech was made and not sent."""


Finding: TypeAlias = Unfinished | Say | AskIdle | EndIdle | Deaf | Mute


class Watch:
    """Looks at one call. Times are seconds of one clock."""

    def __init__(self, hearing: Hearing, quiet: Quiet, flow: AudioFlow, *, bytes_per_s: int) -> None:
        self._hearing = hearing
        self._quiet = quiet
        self._flow = flow
        self._muteness = Muteness(bytes_per_s)
        self._unfinished: Turn | None = None
        self._notices: list[Notice] = []

    def add(self, notice: Notice) -> None:
        """Find this once it is due."""
        self._notices.append(notice)

    def look(self, now: float, *, unfinished: Turn | None, caller_in_room: bool) -> Iterator[Finding]:
        """All that is due now, each once.

        Args:
            unfinished: The open turn, which would be lost with the process; found when it has changed.
        """
        if unfinished != self._unfinished:
            self._unfinished = unfinished
            if unfinished is not None:
                yield Unfinished(turn=unfinished)
        yield from self.notices(now)
        if not caller_in_room:
            self._quiet.away(now)
        match self._quiet.due(now):
            case "prompt":
                yield AskIdle()
            case "end":
                yield EndIdle()
            case None:
                pass
        hearing, flow = self._hearing, self._flow
        if hearing.is_deaf(now):
            yield Deaf(now - hearing.unheard_since, hearing.silences, hearing.is_hopeless)
        if self._muteness.is_mute(now, made=flow.made_bytes, sent=flow.sent_bytes, caller_in_room=caller_in_room):
            yield Mute()

    def notices(self, now: float) -> list[Say]:
        """The notices that are due now."""
        due = [notice for notice in self._notices if notice.is_due(now, self._quiet)]
        self._notices = [notice for notice in self._notices if notice not in due]
        return [Say(notice.text) for notice in due]
