"""Compares this machine's clock with the servers': tokens and leases are valid only within some seconds."""

from collections.abc import Mapping

from chassis.livekit_probe import CLOCK_TOLERANCE_S
from greenroom_cli.doctor.check import Check, Verdict

GROUP = "clocks"
REFUSED_FROM_S = 60.0  # LiveKit's leeway for a token's times

Clocks = dict[str, float]
"""Server -> seconds by which this machine's clock is ahead of the server's. The checks fill it in."""


def check_clocks(clocks: Mapping[str, float]) -> list[Check]:
    """One line for the clocks that agree, and one for each that differs."""
    if not clocks:
        return [Check(GROUP, "clock", Verdict.UNCHECKED, "no reachable server has a clock")]
    apart = {name: ahead_s for name, ahead_s in clocks.items() if abs(ahead_s) >= CLOCK_TOLERANCE_S}
    agreeing = [name for name in clocks if name not in apart]
    checks = [_apart(name, ahead_s) for name, ahead_s in apart.items()]
    if agreeing:
        detail = f"within {CLOCK_TOLERANCE_S:g} s of {', '.join(agreeing)}"
        checks.insert(0, Check(GROUP, "clock", Verdict.OK, detail))
    return checks


def _apart(name: str, ahead_s: float) -> Check:
    is_broken = abs(ahead_s) >= REFUSED_FROM_S
    consequence = "; LiveKit refuses tokens from 60 s on, which looks like a wrong key" if is_broken else ""
    return Check(
        GROUP,
        "clock",
        Verdict.BROKEN if is_broken else Verdict.WARNING,
        f"this machine's is {abs(ahead_s):.0f} s {'ahead of' if ahead_s > 0 else 'behind'} {name}'s{consequence}",
        "set both machines' clocks by NTP, for example: timedatectl set-ntp true",
    )
