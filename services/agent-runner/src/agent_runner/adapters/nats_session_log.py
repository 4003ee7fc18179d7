"""The parts of the sessions' log in JetStream that a node reads."""

import asyncio
from collections.abc import Sequence

from agent_runner.adapters.nats_errors import translated
from agent_runner.ports import LogUnavailable
from chassis.nats import Bus
from contracts.events import Event, JobAssigned, SessionRequested, ToolCalled, TurnFinished
from contracts.subjects import session_event


class NatsSessionLog:
    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def last_epoch(self, session_id: str, *, deadline_s: float) -> int | None:
        with translated(LogUnavailable):
            last = await self._bus.last(session_event(JobAssigned.event, session_id), deadline_s=deadline_s)
        return last.event.epoch if last is not None and isinstance(last.event, JobAssigned) else None

    async def history(self, session_id: str, *, deadline_s: float) -> Sequence[Event]:
        """Read the start, the turns and the calls of tools; events that this version cannot read are left out.

        A node's NATS user may read one message a request, so the ticks, most of a log, are not read.
        """
        with translated(LogUnavailable):
            stored = await asyncio.gather(
                *(
                    self._bus.each(session_event(kind.event, session_id), deadline_s=deadline_s)
                    for kind in (SessionRequested, TurnFinished, ToolCalled)
                )
            )
        in_order = sorted((one for of_kind in stored for one in of_kind), key=lambda one: one.seq)
        return [one.event for one in in_order if isinstance(one.event, Event)]
