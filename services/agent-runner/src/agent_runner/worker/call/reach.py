"""The agent's audio waits while the caller's network is lost, in a tunnel or between two networks."""

import asyncio
import time
from collections.abc import Callable
from typing import Any, Final

from agent_runner.domain.reception import Reception
from agent_runner.link.messages import Unreachable
from agent_runner.worker.pipeline.agent_pipeline import AgentPipeline
from chassis.tasks import Tasks

_LOOK_S: Final = 0.5  # a look costs 0.7 ms of CPU
_LOOK_AGAIN_S: Final = 0.25  # while no packet comes


async def keep_in_reach(
    pipeline: AgentPipeline, has_ended: Callable[[], bool], tell: Callable[[Unreachable], None], log: Any
) -> None:
    """Hold the agent's audio while the caller's packets are missing, until the job has ended.

    The last words wait, too, within their time.
    """
    client, reception, tasks = pipeline.transport.client, Reception(), Tasks()
    while not has_ended():
        await asyncio.sleep(_LOOK_AGAIN_S if reception.gap_s else _LOOK_S)
        packets, now = await client.packets(), time.monotonic()
        before, reception = reception, reception.looked(now, packets, is_quiet=pipeline.sound_at < now - _LOOK_S)
        if reception.is_lost and not before.is_lost:
            log.info("caller.unreachable")
            client.valve.lost(reception.gap_s + _LOOK_S)  # the last packet may have come just after the look before it
            tell(Unreachable(ms=_ms(reception.gap_s)))
        elif before.is_lost and not reception.is_lost:
            if packets is not None:  # else the caller has left, or muted the microphone
                log.info("caller.reachable", after_s=round(before.gap_s, 1))
            if not client.caller_in_room:
                tell(Unreachable(end="left", ms=_ms(before.gap_s)))
            else:
                end = "given_up" if reception.is_unknown else "back"
                tell(Unreachable(end=end, ms=_ms(before.gap_s), again_ms=_ms(client.valve.missed_s)))
            tasks.spawn(client.valve.found())  # it takes seconds, in which the network may be lost again


def _ms(seconds: float) -> int:
    return round(1000 * seconds)
