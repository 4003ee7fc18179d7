"""Which rooms the reconciler deletes on a LiveKit that it may share."""

from collections.abc import Sequence

import pytest

from contracts.rooms import deployment_in, room_metadata
from scheduler.domain.limits import Limits
from scheduler.domain.reconciling import ROOM_MARGIN_MS
from scheduler.leader.room_repair import _REPAIRS
from scheduler.ports import Room
from tests.support.events import ended, requested
from tests.support.scheduler.world import Leader, World

ROOM = "session_1_orphan"


async def left_after(world: World, rounds: int) -> bool:
    """Whether the room is still there after some rounds."""
    world.rooms.add(ROOM)
    world.monotonic_s += ROOM_MARGIN_MS / 1000 + 1
    world.rooms_made_ms = world.now_ms() - ROOM_MARGIN_MS - 1
    leader = await Leader(world).begin()
    await leader.repair(rounds=rounds)
    await leader.conductor.stop()
    return ROOM in world.rooms


@pytest.mark.parametrize(("deployment", "stays"), [("here", False), ("elsewhere", True), (None, True)])
async def test_a_room_without_a_session_is_deleted_only_where_it_says_that_it_is_ours(
    deployment: str | None, stays: bool
) -> None:
    world = World(Limits(), deployment=deployment)

    assert await left_after(world, 2) == stays


@pytest.mark.parametrize("deployment", ["here", "elsewhere", None])
async def test_the_room_of_a_session_that_our_log_ended_is_deleted_whatever_it_says(deployment: str | None) -> None:
    world = World(Limits(), deployment=deployment)
    for event in (requested(ROOM), ended(session_id=ROOM, epoch=0)):
        world.write(event)
    world.monotonic_s += 600

    assert not await left_after(world, 2)


async def test_a_room_is_no_orphan_at_the_first_look() -> None:
    assert await left_after(World(Limits(), deployment="here"), 1)


async def test_rooms_of_others_that_stay_do_not_keep_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(Limits())
    world.rooms = {f"session_{n}_theirs" for n in range(_REPAIRS)}

    async def listed(names: Sequence[str] | None = None) -> list[Room]:
        return [
            Room(name, "RM", world.now_ms() - ROOM_MARGIN_MS - 1, "here" if name == ROOM else "elsewhere")
            for name in sorted(world.rooms, key=lambda name: name == ROOM)
            if names is None or name in names
        ]

    monkeypatch.setattr(world, "list", listed)

    assert not await left_after(world, 3)
    assert len(world.rooms) == _REPAIRS


def test_a_room_says_whose_it_is() -> None:
    assert deployment_in(room_metadata("here", "f00")) == "here"


@pytest.mark.parametrize("metadata", ["", "{", "[]", '{"greenroom": "f00"}', '{"deployment": 1}', "\x00", '"text"'])
def test_a_room_of_an_earlier_version_or_of_another_program_does_not(metadata: str) -> None:
    assert deployment_in(metadata) is None
