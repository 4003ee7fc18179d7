"""The report of the queue that gateways follow."""

import asyncio

import pytest

from contracts.registry import QueueState
from scheduler.domain.board import Board
from scheduler.domain.limits import Limits
from scheduler.leader import mirror
from tests.support.events import T0, assigned, ended, requested
from tests.support.scheduler.world import World
from tests.support.waiting import until


class Reports:
    def __init__(self) -> None:
        self.made: list[QueueState] = []

    async def report(self, state: QueueState) -> None:
        self.made.append(state)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mirror, "_LOOK_S", 0.001)
    monkeypatch.setattr(mirror, "_POLL_S", 0.001)
    monkeypatch.setattr(mirror, "_CATCH_UP_POLLS", 20)


def mirroring(world: World, board: Board, reports: Reports) -> asyncio.Task[None]:
    return asyncio.create_task(
        mirror.mirror_queue(board, world.tail, reports, log_is_full=lambda: False, restored_ms=lambda: 0)
    )


async def reports_of(world: World, board: Board, *, count: int) -> list[QueueState]:
    reports = Reports()
    task = mirroring(world, board, reports)
    await until(lambda: len(reports.made) >= count, 5, every_s=0.001)
    task.cancel()
    await asyncio.wait({task})
    return reports.made


async def test_starts_without_a_node_are_reported_with_the_end_of_the_log(quick: None) -> None:
    world = World(Limits(max_queue=7))
    board = Board(world.limits, T0)
    for event in (
        requested("session_a"),
        requested("session_b"),
        requested("session_c"),
        assigned(session_id="session_a"),
    ):
        board.record(world.write(event))
    board.record(world.write(ended(session_id="session_b")))

    [state] = await reports_of(world, board, count=1)

    assert state == QueueState(waiting=1, max_queue=7, seq=5, opens_words=True, restored_ms=0)


async def test_a_request_that_the_board_has_not_seen_is_waited_for(quick: None) -> None:
    world = World(Limits(max_queue=7))
    board = Board(world.limits, T0)
    record = world.write(requested("session_a"))
    asyncio.get_running_loop().call_later(0.01, lambda: board.record(record))

    [state] = await reports_of(world, board, count=1)

    assert state.waiting == 1


async def test_a_request_from_before_the_term_stops_no_report(quick: None) -> None:
    world = World(Limits(max_queue=7))
    world.write(requested("session_a"))

    [state] = await reports_of(world, Board(world.limits, T0), count=1)

    assert state == QueueState(waiting=0, max_queue=7, seq=1, opens_words=True, restored_ms=0)


async def test_a_request_in_a_log_that_counts_from_1_again_is_waited_for_like_any(quick: None) -> None:
    world = World(Limits(max_queue=7))
    board, reports = Board(world.limits, T0), Reports()
    for session_id in ("session_a", "session_b", "session_c"):
        board.record(world.write(requested(session_id)))
    task = mirroring(world, board, reports)
    await until(lambda: reports.made, 5, every_s=0.001)
    world.lose_log()
    record = world.write(requested("session_d"))
    asyncio.get_running_loop().call_later(0.01, lambda: board.record(record))
    await until(lambda: reports.made[-1].seq == 1, 5, every_s=0.001)
    task.cancel()
    await asyncio.wait({task})

    assert [(state.seq, state.waiting) for state in reports.made] == [(3, 3), (1, 4)]


async def test_a_log_that_becomes_full_and_one_that_is_restored_are_reported_at_once(quick: None) -> None:
    world = World(Limits(max_queue=7))
    board = Board(world.limits, T0)
    full, restored, reports = [False], [1], Reports()
    task = asyncio.create_task(
        mirror.mirror_queue(board, world.tail, reports, log_is_full=lambda: full[0], restored_ms=lambda: restored[0])
    )
    await until(lambda: reports.made, 5, every_s=0.001)
    full[0] = True
    await until(lambda: reports.made[-1].log_is_full, 5, every_s=0.001)
    restored[0] = 2
    await until(lambda: reports.made[-1].restored_ms == 2, 5, every_s=0.001)
    task.cancel()
    await asyncio.wait({task})

    assert [(state.log_is_full, state.restored_ms) for state in reports.made] == [(False, 1), (True, 1), (True, 2)]
