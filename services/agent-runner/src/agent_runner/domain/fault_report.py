"""Which faults of the providers, and of the caller's network, an epoch has reported to its session's log."""

from dataclasses import dataclass, replace
from typing import Final, Literal, TypeAlias

from agent_runner.domain.call_events import TellFault

MOST: Final = 70
"""Most reports of one epoch: a provider that fails and recovers all the time must not fill the log."""
MOST_LOST: Final = 20
"""Of these of the caller's network, two for each gap; the others are for the providers."""
_MOST_UNUSABLE: Final = MOST - MOST_LOST
_MOST_SILENT: Final = _MOST_UNUSABLE - 3  # the rest is for stt, llm and tts, each of which becomes unusable once

FaultStep: TypeAlias = tuple["FaultReport", tuple[TellFault, ...]]


@dataclass(frozen=True, slots=True)
class FaultReport:
    """Each method returns the next state, and what to report.

    Attributes:
        told: Number of reports.
        lost: How many of them were of the caller's network.
        since: Provider -> when its present fault began, in seconds.
    """

    told: int = 0
    lost: int = 0
    since: tuple[tuple[str, float], ...] = ()

    def failed(self, provider: str, now: float, *, ago_ms: int) -> FaultStep:
        """The provider has kept the agent deaf or mute for `ago_ms`; the same fault is reported once."""
        if provider in dict(self.since):
            return self, ()
        since = (*self.since, (provider, now - ago_ms / 1000))
        return replace(self, since=since)._tell(provider, "silent", None)

    def recovered(self, provider: str, now: float) -> FaultStep:
        began = dict(self.since).get(provider)
        if began is None:
            return self, ()
        since = tuple(each for each in self.since if each[0] != provider)
        return replace(self, since=since)._tell(provider, "silent", max(0, round((now - began) * 1000)))

    def unanswered(self, provider: str, *, broke_off: bool, ms: int, name: str) -> FaultStep:
        """An answer failed after so many ms, with the error of this name; the call goes on."""
        return self._tell(provider, "broke_off" if broke_off else "unanswered", ms, name)

    def unusable(self, provider: str, name: str = "") -> FaultStep:
        """The provider has failed for the rest of the call, with the error of this name."""
        return self._tell(provider, "unusable", None, name, most=_MOST_UNUSABLE)

    def unreachable(self, end: Literal["", "back", "left", "given_up"], *, ms: int, again_ms: int) -> FaultStep:
        """The caller's network is lost, or the agent no longer waits for it; as in `Unreachable`."""
        if self.lost >= MOST_LOST:
            return self, ()
        told = self.told + 1
        kind = end if end in ("left", "given_up") else "lost"
        fault = TellFault(told, "network", kind, ms if end else None, again_ms=again_ms if end else 0)
        return replace(self, told=told, lost=self.lost + 1), (fault,)

    def _tell(
        self, provider: str, kind: str, ms: int | None, detail: str = "", *, most: int = _MOST_SILENT
    ) -> FaultStep:
        if self.told - self.lost >= most:
            return self, ()
        told = self.told + 1
        return replace(self, told=told), (TellFault(told, provider, kind, ms, detail),)
