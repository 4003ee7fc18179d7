"""Whether the caller's network is there. Its packets tell: LiveKit plays silence for missing ones. Pure.

A client whose network is lost stays in LiveKit's room for about 20 s.
"""

from dataclasses import dataclass, replace
from typing import Final

GAP_S: Final = 1.25
"""Without a packet for so long the network is lost. In silence a client with DTX sends one each 0.4 s."""

PROOF_S: Final = 3.0
"""Of the caller's silence with packets: the client sends in silence, too. Others, such as some telephones, do not."""

LONGEST_S: Final = 25.0
"""LiveKit would have removed the caller by then: the client only sends nothing."""

_STEADY_S: Final = 0.9  # longest gap of a client that sends in silence, on a good network
_STEP_S: Final = 0.75  # most that one look counts: a process that was frozen received no packets either


@dataclass(frozen=True, slots=True)
class Reception:
    """The packets of one caller.

    Attributes:
        packets: How many had come at the last look.
        gap_s: Seconds since one came.
        steady_s: Seconds of the caller's silence in which they kept coming; PROOF_S: it is proven.
        looked_at: The last look.
        is_lost: The caller cannot be reached.
        is_unknown: The client sends nothing in silence, so nothing follows from it.
    """

    packets: int = 0
    gap_s: float = 0.0
    steady_s: float = 0.0
    looked_at: float = 0.0
    is_lost: bool = False
    is_unknown: bool = False

    def looked(self, now: float, packets: int | None, *, is_quiet: bool) -> "Reception":
        """Look again, a few times a second.

        Args:
            now: Seconds of one clock.
            packets: How many have come on the caller's track; None: none is due, or it cannot be told.
            is_quiet: The caller makes no sound.
        """
        if packets is None or self.is_unknown:
            return replace(self, gap_s=0.0, looked_at=now, is_lost=False)
        step_s = min(now - self.looked_at, _STEP_S)
        came = packets != self.packets
        gap_s = 0.0 if came else self.gap_s + step_s
        steady_s = 0.0 if packets < self.packets else self.steady_s  # another track, perhaps of another client
        if steady_s < PROOF_S:
            steady_s = 0.0 if gap_s > _STEADY_S else steady_s + (step_s if is_quiet else 0.0)
        after = replace(self, packets=packets, gap_s=gap_s, steady_s=steady_s, looked_at=now)
        if gap_s >= LONGEST_S:
            return replace(after, is_lost=False, is_unknown=True)
        return replace(after, is_lost=steady_s >= PROOF_S and gap_s >= GAP_S)
