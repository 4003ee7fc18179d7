"""LiveKit: it answers, has the right key and a strong secret, and does not create rooms on join."""

import time

from chassis.credentials import weakness
from chassis.livekit_probe import LiveKitFacts, probe
from greenroom_cli.doctor.check import Check, Verdict
from greenroom_cli.doctor.clocks import Clocks
from greenroom_cli.settings import Settings

NAME = "LiveKit"
LIMIT_S = 5.0


async def check_livekit(settings: Settings, group: str, start: str, clocks: Clocks) -> list[Check]:
    """Check the server at LIVEKIT_URL without changing it."""
    url, key, secret = settings.livekit_url, settings.livekit_api_key, settings.livekit_api_secret
    if not url or not key or not secret:
        detail = "LIVEKIT_API_KEY or LIVEKIT_API_SECRET is not set"
        return [Check(group, NAME, Verdict.BROKEN, detail, "set both to the LiveKit server's values")]
    if (problem := weakness(secret)) is not None:
        fix = "give LiveKit and Greenroom the same new secret"
        return [Check(group, NAME, Verdict.BROKEN, f"LIVEKIT_API_SECRET: {problem}", fix)]
    # Called through the module, so that a test can replace this machine's clock.
    facts = await probe(url, key, secret, deadline_s=LIMIT_S, now=lambda: time.time())
    if facts.clock_ahead_s is not None:
        clocks[NAME] = facts.clock_ahead_s
    return judge(facts, url, group, start)


def judge(facts: LiveKitFacts, url: str, group: str, start: str) -> list[Check]:
    """Translate the facts into checks."""
    if not facts.reachable:
        return [Check(group, NAME, Verdict.BROKEN, f"{url}: {facts.why_not}", f"check LIVEKIT_URL; {start}")]
    if facts.accepts_key is False and facts.skew is None:
        fix = "set LIVEKIT_API_KEY and LIVEKIT_API_SECRET to those of the LiveKit server"
        return [Check(group, NAME, Verdict.BROKEN, f"{url} refuses the credentials: {facts.why_not}", fix)]
    if facts.accepts_key is None:
        detail = f"{url} answered, but not as LiveKit does: {facts.why_not}"
        return [Check(group, NAME, Verdict.BROKEN, detail, f"check LIVEKIT_URL; {start}")]
    checks = [Check(group, NAME, Verdict.OK, url)] if facts.accepts_key else []
    if facts.auto_create:
        detail = "joining creates rooms, so the token of an ended session opens its room again"
        fix = "set room: { auto_create: false } in LiveKit's configuration"
        checks.append(Check(group, f"{NAME} rooms", Verdict.WARNING, detail, fix))
    if facts.unchecked:
        checks.append(Check(group, NAME, Verdict.UNCHECKED, f"{', '.join(facts.unchecked)}: {facts.why_not}"))
    return checks
