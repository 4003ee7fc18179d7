"""What a new leader takes in, and how."""

from collections.abc import Sequence

from contracts.registry import Slot
from scheduler.domain.board import Board
from scheduler.domain.limits import Limits
from scheduler.domain.session import Recorded
from scheduler.leader.readback import read_back, read_forgotten, take_in
from scheduler.ports import HeldSlot
from tests.support.events import T0, assigned, end_requested, ended, ready, requested, tick
from tests.support.scheduler.builders import at_ms
from tests.support.scheduler.world import World


class Log(World):
    """Counts the readings; `meanwhile` happens while one is under way."""

    def __init__(self) -> None:
        super().__init__(Limits(max_bots=5_000))
        self.readings: list[int] = []
        self.meanwhile = lambda: None

    async def lifecycles(self, session_ids: Sequence[str]) -> Sequence[Recorded]:
        found = await super().lifecycles(session_ids)
        self.readings.append(len(session_ids))
        self.meanwhile()
        return found

    async def history(self, session_id: str) -> Sequence[Recorded]:
        raise AssertionError(f"the ticks of {session_id} were read")

    def running(self, name: str, slot: int) -> None:
        for event in (requested(name), assigned(session_id=name), ready(session_id=name), tick(5_000, session_id=name)):
            self.write(event)
        self.held_slots[slot] = HeldSlot(Slot(session_id=name, taken_at=at_ms(T0)), 1)


def board_of(world: World) -> Board:
    return Board(world.limits, world.now_ms())


async def test_what_runs_and_what_waits_is_read_in_few_readings_without_ticks() -> None:
    world = Log()
    for n in range(1_000):
        world.running(f"session_old_{n}", n)
    world.monotonic_s += 600
    world.write(requested("session_waits"))
    world.write(requested("session_over"))
    world.write(ended(session_id="session_over"))
    board = board_of(world)

    await read_back(board, world, world, recent_ms=world.now_ms() - 1_000)  # type: ignore[arg-type]

    assert len(board.roster.ids()) == 1_001
    assert len(board.slots) == 1_000
    assert "session_over" not in board.roster
    assert board.facts("session_old_7", T0).slot == 7
    assert len(world.readings) <= 5


async def test_an_end_that_is_asked_for_while_the_session_is_read_is_taken_in() -> None:
    world = Log()
    world.running("session_1", 0)
    board = board_of(world)
    end = end_requested(session_id="session_1")
    world.meanwhile = lambda: None if any(r.event.id == end.id for r in world.records) else heard()

    def heard() -> None:
        board.record(world.write(end))  # the log's follower hears it; the reading is from a moment before

    await take_in(board, world, ["session_1"])  # type: ignore[arg-type]

    session = board.roster.session("session_1")
    assert session is not None
    assert session.end_asked is not None
    assert session.requested is not None


async def test_a_session_that_ended_is_kept_only_while_it_holds_its_slot() -> None:
    world = Log()
    world.running("session_1", 0)
    world.write(ended(session_id="session_1"))
    board = board_of(world)
    await read_back(board, world, world, recent_ms=0)  # type: ignore[arg-type]
    assert board.facts("session_1", T0).slot == 0


async def test_a_slot_whose_session_has_no_log_is_held_and_nothing_more() -> None:
    world = Log()
    world.held_slots[3] = HeldSlot(Slot(session_id="session_nobody", taken_at=at_ms(T0)), 1)
    board = board_of(world)
    await read_back(board, world, world, recent_ms=0)  # type: ignore[arg-type]
    assert (board.roster.ids(), len(board.slots)) == ([], 1)


async def test_starts_that_waited_through_a_long_outage_are_found_some_at_a_time() -> None:
    world = Log()
    for n in range(7):
        world.write(requested(f"session_{n}"))
    world.write(ended(session_id="session_3"))
    board = board_of(world)
    woken: list[str] = []
    await read_forgotten(board, world, woken.append, every=4)  # type: ignore[arg-type]
    assert sorted(woken) == [f"session_{n}" for n in range(7) if n != 3]
    assert world.readings == [4, 2]
