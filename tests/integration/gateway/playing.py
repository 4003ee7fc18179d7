"""The other services' part of a session, as the tests play it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

from chassis.nats import Bus
from contracts.events import (
    AgentReady,
    AgentStopped,
    Event,
    JobAssigned,
    Outcome,
    SessionEnded,
    SessionQueued,
    SessionRequested,
    SessionStarted,
)
from contracts.subjects import session_event

SESSION = "session_1_a"


def _now() -> datetime:
    return datetime.now(UTC)


def a_request(session_id: str = SESSION, *, user_name: str = "Ann") -> SessionRequested:
    return SessionRequested(
        session_id=session_id,
        time=_now(),
        user_name=user_name,
        user_id=user_name,
        voice_id="Ashley",
        opening_line="Hi!",
        system_prompt="Be kind.",
    )


def a_place_in_the_queue(session_id: str = SESSION) -> SessionQueued:
    return SessionQueued(session_id=session_id, time=_now(), position=1, deadline_at=_now())


def a_running_call(session_id: str = SESSION) -> list[Event]:
    """What follows a request until caller and agent are both there."""
    return [
        JobAssigned(session_id=session_id, time=_now(), epoch=1, node_id="n1", served_ms_before=0),
        AgentReady(
            session_id=session_id,
            time=_now(),
            epoch=1,
            node_id="n1",
            pid=4711,
            log_file="s.log",
            stage_ms={"join": 150},
        ),
        SessionStarted(session_id=session_id, time=_now(), epoch=1, at=_now()),
    ]


def an_end(
    session_id: str = SESSION, *, billable_ms: int = 61_000, outcome: Outcome = Outcome.COMPLETED
) -> list[Event]:
    """The node's word and the scheduler's."""
    return [
        AgentStopped(session_id=session_id, time=_now(), epoch=1, cause="ended", served_ms=billable_ms),
        SessionEnded(
            session_id=session_id,
            time=_now(),
            outcome=outcome,
            reason="requested",
            epoch=1,
            billable_ms=billable_ms,
        ),
    ]


async def publish(bus: Bus, *events: Event) -> None:
    for event in events:
        await bus.publish(event)


@asynccontextmanager
async def scheduler_that_ends(bus: Bus, *, billable_ms: int = 61_000) -> AsyncIterator[None]:
    """Whenever an end is asked for, it comes."""

    async def play() -> None:
        async for stored in bus.replay(session_event("end_requested", "*")):
            if isinstance(stored.event, Event):
                await publish(bus, *an_end(stored.event.session_id, billable_ms=billable_ms))

    task = asyncio.create_task(play())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait({task})
