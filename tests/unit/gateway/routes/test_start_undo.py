"""A start that fails or is cancelled leaves no room behind, and closes no room that a session owns."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

import httpx
import pytest

from contracts.errors import LIVEKIT_UNAVAILABLE, LOG_REFUSED, Refused
from contracts.events import Event
from contracts.ids import agent_identity, caller_identity
from gateway.domain.rooms import MadeRoom, is_usable
from gateway.ports import NatsUnavailable
from tests.support.events import NOW, SESSION, requested
from tests.support.gateway.world import World

START = "/orchestrator/session/start"
MINE = {"userName": "Ann", "sessionId": "session_mine"}


def failing(error: BaseException) -> Callable[[Event], Awaitable[None]]:
    async def fail(_event: Event) -> None:
        raise error

    return fail


def closing(world: World) -> asyncio.Event:
    """Set once a room was closed."""
    delete, closed = world.rooms.delete, asyncio.Event()

    async def note(session_id: str) -> None:
        await delete(session_id)
        closed.set()

    world.rooms.delete = note  # type: ignore[method-assign]
    return closed


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (NatsUnavailable("NATS does not answer."), 503, "bus_unavailable"),
        (Refused(LOG_REFUSED, "NATS refused to store this event."), 500, "log_refused"),
        (ValueError("surrogates not allowed"), 500, "internal"),
    ],
)
async def test_the_room_of_a_start_that_fails_is_closed(
    api: httpx.AsyncClient, world: World, error: Exception, status: int, code: str
) -> None:
    world.log.opening = failing(error)

    answer = await api.post(START, json=MINE)

    assert (answer.status_code, answer.json()["code"], world.rooms.made) == (status, code, 1)
    assert world.rooms.open == set()


async def test_a_start_that_livekit_fails_leaves_no_key(api: httpx.AsyncClient, world: World) -> None:
    """The bucket is bounded and keeps a key for days: an outage of LiveKit must not fill it."""

    async def fail_slowly(session_id: str) -> MadeRoom:
        await asyncio.sleep(0.01)
        raise Refused(LIVEKIT_UNAVAILABLE, "LiveKit does not answer.", session_id=session_id)

    world.rooms.create = fail_slowly  # type: ignore[method-assign]

    answer = await api.post(START, json=MINE)

    assert (answer.status_code, answer.json()["code"]) == (503, "livekit_unavailable")
    assert world.words.secrets == {}


async def test_the_room_of_a_start_that_takes_too_long_is_closed_and_the_problem_names_the_session(
    api: httpx.AsyncClient, world: World
) -> None:
    async def hang(_event: Event) -> None:
        await asyncio.sleep(60)

    world.log.opening = hang
    closed = closing(world)

    answer = await api.post(START, json=MINE | {"deadlineMs": 100})

    assert (answer.status_code, answer.json()["code"]) == (504, "start_pending")
    assert answer.json()["session_id"] == "session_mine"
    await asyncio.wait_for(closed.wait(), 5)
    assert world.rooms.open == set()


async def test_a_deadline_holds_while_livekit_is_slow_and_the_room_is_closed_afterwards(
    api: httpx.AsyncClient, world: World
) -> None:
    answered, closed = asyncio.Event(), closing(world)
    create, delete = world.rooms.create, world.rooms.delete

    async def made_and_never_answered(session_id: str) -> MadeRoom:
        await create(session_id)
        await asyncio.Event().wait()
        raise AssertionError

    async def closed_once_the_start_is_answered(session_id: str) -> None:
        await answered.wait()
        await delete(session_id)

    world.rooms.create = made_and_never_answered  # type: ignore[method-assign]
    world.rooms.delete = closed_once_the_start_is_answered  # type: ignore[method-assign]

    answer = await api.post(START, json=MINE | {"deadlineMs": 100})
    answered.set()

    assert (answer.status_code, answer.json()["code"]) == (504, "start_pending")
    await asyncio.wait_for(closed.wait(), 5)
    assert world.rooms.open == set()


async def test_the_room_of_a_start_whose_acknowledgement_was_lost_stays(api: httpx.AsyncClient, world: World) -> None:
    async def stored_but_unacknowledged(event: Event) -> None:
        world.log.events.append(event)
        raise NatsUnavailable("NATS does not answer.")

    world.log.opening = stored_but_unacknowledged

    answer = await api.post(START, json=MINE)

    assert answer.json()["code"] == "bus_unavailable"
    assert world.rooms.open == {"session_mine"}


async def test_the_room_of_another_try_that_went_through_stays(api: httpx.AsyncClient, world: World) -> None:
    async def other_try_wins(event: Event) -> None:
        world.log.events.append(requested(event.session_id))

    world.log.opening = other_try_wins

    answer = await api.post(START, json=MINE)

    assert answer.json()["code"] == "session_id_taken"
    assert world.rooms.open == {"session_mine"}


async def test_while_the_log_cannot_be_read_the_room_stays_for_the_reconciler(
    api: httpx.AsyncClient, world: World
) -> None:
    async def away(_event: Event) -> None:
        world.log.is_away = True

    world.log.opening = away

    answer = await api.post(START, json=MINE)

    assert answer.json()["code"] == "bus_unavailable"
    assert world.rooms.open == {"session_mine"}


async def test_without_a_connection_to_nats_no_room_is_made(api: httpx.AsyncClient, world: World) -> None:
    world.log.is_away = True

    answer = await api.post(START, json={"userName": "Ann"})

    assert (answer.json()["code"], world.rooms.made) == ("bus_unavailable", 0)


async def test_a_strangers_room_is_replaced(api: httpx.AsyncClient, world: World) -> None:
    world.rooms.open = {"session_mine"}
    world.rooms.foreign["session_mine"] = MadeRoom(is_new=False, has_our_settings=False, created_at=NOW)
    world.rooms.inside["session_mine"] = frozenset({"eve"})

    answer = await api.post(START, json=MINE)

    assert answer.status_code == 200
    assert world.rooms.foreign == {}
    assert world.rooms.inside == {}


async def test_a_room_with_strangers_that_a_session_owns_is_left_alone(api: httpx.AsyncClient, world: World) -> None:
    world.rooms.open = {"session_mine"}
    world.rooms.foreign["session_mine"] = MadeRoom(is_new=False, has_our_settings=False, created_at=NOW)
    create = world.rooms.create

    async def owned_meanwhile(session_id: str) -> MadeRoom:
        world.log.events.append(requested(session_id))
        return await create(session_id)

    world.rooms.create = owned_meanwhile  # type: ignore[method-assign]

    answer = await api.post(START, json=MINE)

    assert answer.json()["code"] == "session_id_taken"
    assert "session_mine" in world.rooms.foreign


async def test_a_room_joined_ahead_is_right_as_it_is(api: httpx.AsyncClient, world: World) -> None:
    world.prejoined.offer(session_ahead=None)
    world.rooms.open = {"session_ahead"}
    scheduler_s = MadeRoom(is_new=False, has_our_settings=False, created_at=NOW - timedelta(seconds=500))
    world.rooms.foreign["session_ahead"] = scheduler_s

    answer = await api.post(START, json={"userName": "Ann"})

    assert answer.json()["sessionId"] == "session_ahead"
    assert world.rooms.foreign == {"session_ahead": scheduler_s}


async def test_a_room_that_cannot_be_replaced_refuses_the_start(api: httpx.AsyncClient, world: World) -> None:
    foreign = MadeRoom(is_new=False, has_our_settings=False, created_at=NOW)

    async def made_again_at_once(_session_id: str) -> MadeRoom:
        return foreign

    world.rooms.create = made_again_at_once  # type: ignore[method-assign]

    answer = await api.post(START, json=MINE)

    assert (answer.status_code, answer.json()["code"], answer.json()["fault"]) == (409, "room_taken", "client")


@pytest.mark.parametrize(
    ("inside", "age_s", "usable"),
    [
        (set[str](), 2, True),  # made by another try of the same start
        (set[str](), 60, False),  # its empty timeout is half over
        ({agent_identity(SESSION)}, 600, True),  # joined ahead
        ({caller_identity(SESSION)}, 60, True),
        ({agent_identity(SESSION), "eve"}, 2, False),
        ({caller_identity("session_other")}, 2, False),
    ],
)
def test_which_rooms_that_existed_a_start_may_use(inside: set[str], age_s: int, usable: bool) -> None:
    room = MadeRoom(is_new=False, has_our_settings=True, created_at=NOW - timedelta(seconds=age_s))

    assert is_usable(room, frozenset(inside), SESSION, NOW) is usable


def test_a_room_with_other_settings_is_never_used() -> None:
    room = MadeRoom(is_new=False, has_our_settings=False, created_at=NOW)

    assert not is_usable(room, frozenset(), SESSION, NOW)


async def test_a_start_whose_turn_at_livekit_does_not_come_ends_at_its_deadline_and_asks_livekit_nothing(
    api: httpx.AsyncClient, world: World
) -> None:
    world.rooms.turns = asyncio.Semaphore(0)
    closed = closing(world)

    answer = await api.post(START, json=MINE | {"deadlineMs": 100})
    await asyncio.sleep(0.05)

    assert (answer.status_code, answer.json()["code"], world.rooms.made) == (504, "start_pending", 0)
    assert not closed.is_set()
    world.rooms.turns.release()
    assert (await api.post(START, json=MINE)).status_code == 200
