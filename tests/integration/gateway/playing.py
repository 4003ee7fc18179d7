"""The other services' part of a session, as the tests play it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from livekit.api import LiveKitAPI
from livekit.protocol.models import Room
from livekit.protocol.room import ListRoomsRequest

from chassis.nats import Bus
from contracts.events import Event, Outcome, SessionBilled, SessionQueued, SessionRequested, TurnFinished
from contracts.subjects import session_event
from tests.support.events import assigned, billed, ended, just_now, queued, ready, requested, started, stopped, turn
from tests.support.servers import API_KEY, API_SECRET, LiveKitServer

SESSION = "session_1_a"
START, END = "/orchestrator/session/start", "/orchestrator/session/end"


def a_request(session_id: str = SESSION, *, user_name: str = "Ann") -> SessionRequested:
    return just_now(requested(session_id, user_name))


def a_place_in_the_queue(session_id: str = SESSION) -> SessionQueued:
    return just_now(queued(session_id))


def a_running_call(session_id: str = SESSION) -> list[Event]:
    """What follows a request until caller and agent are both there."""
    return [just_now(build(session_id=session_id)) for build in (assigned, ready, started)]


def an_end(
    session_id: str = SESSION, *, billable_ms: int = 61_000, outcome: Outcome = Outcome.COMPLETED
) -> list[Event]:
    """The node's word and the scheduler's."""
    return [
        just_now(stopped(billable_ms, cause="ended", session_id=session_id)),
        just_now(ended(billable_ms, session_id=session_id, outcome=outcome)),
    ]


def a_turn(n: int) -> TurnFinished:
    stage_ms = {"llm": 1_100, "total": 1_300 + n}
    return just_now(turn(n=n, session_id="session_a", user="Xylophone", heard="Xylophone", stage_ms=stage_ms))


def a_bill() -> SessionBilled:
    return just_now(billed(session_id="session_a"))


async def rooms(livekit: LiveKitServer, *names: str) -> list[Room]:
    async with LiveKitAPI(livekit.url, API_KEY, API_SECRET) as client:
        return list((await client.room.list_rooms(ListRoomsRequest(names=list(names)))).rooms)


async def requests_in(bus: Bus) -> list[SessionRequested]:
    replay = bus.replay(session_event("requested", "*"), until_caught_up=True)
    return [stored.event async for stored in replay if isinstance(stored.event, SessionRequested)]


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
