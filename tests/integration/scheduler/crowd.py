"""Sessions that a former leader left behind, written as it and its nodes would have: fast, many, and without them."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta

from chassis.nats import Bus
from chassis.nats.jetstream.messages import headers_of
from contracts.commands import AssignJob
from contracts.events import Event, ServedTick, SessionRequested
from contracts.registry import Slot
from contracts.streams import SESSIONS, SLOTS
from tests.integration.scheduler.stack import new_id, now
from tests.support.events import assigned, just_now, ready, requested, started, tick

_TICKS = 12  # of each session
_FLUSH_EVERY = 200
_SLOTS_AT_ONCE = 32


def start_of(session_id: str, user: str = "ann") -> SessionRequested:
    """What the gateway publishes."""
    return just_now(requested(session_id, user))


async def publish_all(bus: Bus, events: Sequence[Event]) -> None:
    """Publish in order, without waiting for each acknowledgement, and return when all are stored."""
    before = (await bus.js.stream_info(SESSIONS.name)).state.messages
    for n, event in enumerate(events, 1):
        await bus.nc.publish(event.subject, event.model_dump_json().encode(), headers=headers_of(event, "test"))
        if n % _FLUSH_EVERY == 0:
            await bus.nc.flush()
    async with asyncio.timeout(120):
        while (await bus.js.stream_info(SESSIONS.name)).state.messages - before < len(events):  # noqa: ASYNC110
            await asyncio.sleep(0.05)


class Crowd:
    """Sessions with an agent on one node, which hold a slot each.

    Attributes:
        ids: Their ids, in the order of their slots.
        log: Their events; what a test adds is written, too.
    """

    def __init__(self, size: int) -> None:
        self.ids = [new_id() for _ in range(size)]
        self.log: list[Event] = []
        for name in self.ids:
            self.log.append(start_of(name))
            self.assign(name, 1)
            self.log.append(just_now(started(session_id=name)))
        for n in range(1, _TICKS + 1):  # the sessions' ticks stand between each other's, as in any log
            self.log += [self._tick(name, 1, n) for name in self.ids]

    def assign(self, name: str, epoch: int) -> None:
        """An agent gets ready."""
        self.log += [just_now(assigned(epoch, session_id=name)), just_now(ready(epoch, session_id=name))]

    def job(self, name: str, epoch: int = 1) -> AssignJob:
        """The job as the node holds it."""
        return AssignJob(
            session_id=name,
            epoch=epoch,
            url="ws://127.0.0.1:9",
            token="t",
            **start_of(name).model_dump(include={"user_name", "user_id", "voice_id", "opening_line", "system_prompt"}),
        )

    async def write(self, bus: Bus) -> None:
        """Write the log and the slots."""
        await publish_all(bus, self.log)
        slots, limit = bus.bucket(SLOTS), asyncio.Semaphore(_SLOTS_AT_ONCE)

        async def take(key: int, name: str) -> None:
            held = Slot(session_id=name, taken_at=now() - timedelta(minutes=5))
            async with limit:
                await slots.create(str(key), held.model_dump_json().encode())

        await asyncio.gather(*(take(key, name) for key, name in enumerate(self.ids)))

    def _tick(self, name: str, epoch: int, n: int) -> ServedTick:
        return just_now(tick(5_000 * n, epoch, session_id=name))
