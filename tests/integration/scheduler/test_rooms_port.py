"""What the scheduler's `Rooms` promises, by the world of its unit tests and by LiveKit."""

import pytest

from scheduler.domain.limits import Limits
from scheduler.ports import Rooms
from tests.support.events import SESSION
from tests.support.scheduler.world import World

OTHER = "session_other"


@pytest.fixture
def world() -> World:
    return World(Limits())


async def test_a_room_is_listed_from_its_creation_until_it_is_deleted(any_rooms: Rooms) -> None:
    for name in (SESSION, SESSION, OTHER):
        await any_rooms.create(name)

    assert {room.name for room in await any_rooms.list()} == {SESSION, OTHER}
    [room] = await any_rooms.list([SESSION, "session_none"])
    assert (room.name, room.deployment) == (SESSION, "here")
    assert await any_rooms.identities(SESSION) == await any_rooms.identities("session_none") == {}

    for name in (SESSION, SESSION, OTHER):
        await any_rooms.delete(name)
    assert await any_rooms.list() == []


@pytest.fixture(params=["world", "rooms"])
def any_rooms(request: pytest.FixtureRequest) -> Rooms:
    return request.getfixturevalue(request.param)
