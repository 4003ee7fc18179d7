"""Checks LiveKit's configuration once after the start, and logs warnings."""

import asyncio
from typing import Final

from chassis.livekit_probe import LiveKitFacts, probe
from chassis.logs import get_logger

_TRIES: Final = 5
_PAUSE_S: Final = 2.0

log = get_logger(__name__)


async def check_livekit(url: str, api_key: str, api_secret: str, *, deadline_s: float) -> None:
    """Probe LiveKit, at most five times while it does not answer, and log the findings; its errors do not raise."""
    facts = await probe(url, api_key, api_secret, deadline_s=deadline_s)
    for _ in range(_TRIES - 1):
        if facts.reachable:
            break
        await asyncio.sleep(_PAUSE_S)
        facts = await probe(url, api_key, api_secret, deadline_s=deadline_s)
    report(facts)


def report(facts: LiveKitFacts) -> None:
    """Log one warning per fault, and one that names the checks without a result."""
    if facts.auto_create:
        log.warning(
            "livekit.auto_create",
            detail="joining creates rooms here: a caller's token opens the room again after the session has ended",
            fix="set `room: { auto_create: false }` in LiveKit's configuration",
        )
    if facts.skew is not None:
        log.warning("livekit.clock_skew", detail=facts.skew, fix="synchronise the clocks of both machines (NTP)")
    if facts.accepts_key is False:
        log.warning(
            "livekit.refused",
            detail="LiveKit refuses our API key",
            fix="set LIVEKIT_API_KEY and LIVEKIT_API_SECRET to those of the LiveKit server",
        )
    if facts.unchecked:
        log.warning("livekit.unchecked", checks=", ".join(facts.unchecked), reason=facts.why_not)
