"""What a running call needs attention for: a notice to say, an idle caller, a deaf or mute agent."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TypeAlias

from agent_runner.domain.audio_flow import AudioFlow
from agent_runner.domain.hearing import Deaf, Hearing
from agent_runner.domain.job import EndCall, Say
from agent_runner.domain.lines import name_of
from agent_runner.domain.muteness import MUTE_S, Muteness
from agent_runner.domain.notice import Notice
from agent_runner.domain.quiet import Quiet
from agent_runner.link.messages import Turn, Unfinished
from contracts.causes import Cause
from contracts.lines import lines_in


@dataclass(frozen=True, slots=True)
class AskAgain:
    """Ask the caller for words that did not come; if they come after all, they interrupt the question."""

    text: str


Finding: TypeAlias = Unfinished | Say | AskAgain | Deaf | EndCall


class Watch:
    """Looks at one call. Times are seconds of one clock.

    Attributes:
        lines: What the agent says by itself; set with the job.
    """

    def __init__(self, hearing: Hearing, quiet: Quiet, flow: AudioFlow, *, bytes_per_s: int) -> None:
        self.lines = lines_in(None)
        self._hearing = hearing
        self._quiet = quiet
        self._flow = flow
        self._muteness = Muteness(bytes_per_s)
        self._loud_at = 0.0
        self._unfinished: Turn | None = None
        self._notices: list[Notice] = []

    def look(
        self,
        now: float,
        *,
        unfinished: Turn | None,
        caller_in_room: bool,
        loud_at: float = 0.0,
        is_ready: bool = True,
        is_paused: bool = False,
        is_unreachable: bool = False,
        is_agents: bool = False,
    ) -> Iterator[Finding]:
        """All that is due now, each once.

        Args:
            loud_at: When the caller's line was last loud, with words or without.
            unfinished: The open turn, which would be lost with the process; found when it has changed.
            is_ready: The caller can hear the agent: the caller's client has subscribed to its track.
            is_paused: The agent holds its audio while the caller makes a sound.
            is_unreachable: The caller's network is lost: nothing that the caller says comes.
            is_agents: The agent speaks, is about to, or will answer words that came.
        """
        if unfinished != self._unfinished:
            self._unfinished = unfinished
            if unfinished is not None:
                yield Unfinished(turn=self._named(unfinished))
        yield from self.notices(now)
        if not caller_in_room or is_unreachable:
            self._quiet.away(now)
        else:
            self._quiet.present(now)
        if caller_in_room and loud_at > self._loud_at:
            self._loud_at = loud_at
            self._quiet.sound(loud_at)
        if (due := self._quiet.due(now)) == "prompt":
            yield Say(self.lines.idle_prompt)
        elif due == "end":
            yield EndCall(Cause.USER_IDLE, say=self.lines.idle_goodbye)
        if is_agents:
            self._hearing.answered()
        elif self._hearing.asks_again(now) and self._quiet.is_silent:
            yield AskAgain(self.lines.sorry)
        if (deaf := self._hearing.deaf(now)) is not None:
            yield deaf
        flow, can_hear = self._flow, caller_in_room and is_ready and not is_paused
        if self._muteness.is_mute(now, made=flow.made_bytes, sent=flow.sent_bytes, can_hear=can_hear):
            yield EndCall(Cause.FAILED, f"mute: there was speech, and none of it went out for {MUTE_S:g} s")

    def told(self, turn: Turn) -> Turn:
        """A turn is reported, at which the supervisor forgets the open one: that is due again.

        Returns the turn, with the name of a line that the agent said by itself.
        """
        self._unfinished = None
        return self._named(turn)

    def _named(self, turn: Turn) -> Turn:
        if turn.said != "line":
            return turn
        return replace(turn, said=name_of(turn.heard_text, self.lines, is_whole=not turn.interrupted))

    def notices(self, now: float, *more: Notice) -> list[Say]:
        """The notices that are due now; `more` are new."""
        self._notices += more
        due = [notice for notice in self._notices if notice.is_due(now, self._quiet)]
        self._notices = [notice for notice in self._notices if notice not in due]
        return [Say(notice.text) for notice in due]
