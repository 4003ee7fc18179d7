"""What a burst of 10 x MAX_BOTS starts costs the leading scheduler in CPU, without the bus.

    python tests/bench/burst_queue.py [--max-bots 50 400 1000 10000] [--json FILE]

queue       the starts arrive, each is placed or told its position in the queue; then every call that runs ends, and
            the next in fair order begins, until all are through
leader      the same arrival through the whole decision loop (domain/decision.py and the conductor), with a log and
            slots that answer at once; `control_plane.py --only burst` has the bus in it, too
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, cast

from rig.figures import Figure, arguments, publish, run_bench

from chassis import logs
from contracts.commands import AssignJob
from contracts.events import Event, Outcome, SessionEnded, SessionRequested
from contracts.registry import NodeState, Slot
from scheduler.domain.board import Board
from scheduler.domain.clock import LogClock, Reading
from scheduler.domain.limits import Limits
from scheduler.domain.session import Recorded
from scheduler.leader.agents import Agents
from scheduler.leader.conductor import Conductor
from scheduler.leader.timekeeper import Timekeeper

SIZES: Final = (50, 400, 1_000, 10_000)
USERS: Final = 100
SLOTS_A_NODE: Final = 8
NOW: Final = datetime(2026, 1, 1, tzinfo=UTC)
NOW_MS: Final = round(NOW.timestamp() * 1000)
NOTES: Final = ("CPU seconds of one process; every start waits for MAX_BOTS, none runs into its deadline",)


def burst(max_bots: int) -> list[SessionRequested]:
    """Ten times as many starts as may run, of a hundred users."""
    return [
        SessionRequested(
            session_id=f"session_{n:06}_bench",
            time=NOW,
            user_name="ann",
            user_id=f"user_{n % USERS}",
            voice_id="Ashley",
            opening_line="Hello!",
            system_prompt="Be nice.",
        )
        for n in range(10 * max_bots)
    ]


def board_with_nodes(max_bots: int) -> Board:
    """A leader's board, and nodes for exactly MAX_BOTS calls."""
    board = Board(Limits(max_bots=max_bots, max_queue=10 * max_bots, queue_ms=3_600_000), NOW_MS)
    for n in range(-(-max_bots // SLOTS_A_NODE)):
        state = NodeState(
            node_id=f"n{n:05}",
            slots=SLOTS_A_NODE,
            warm=SLOTS_A_NODE,
            busy=0,
            load=0.1,
            pid=1,
            processes=1,
            started_at=NOW,
        )
        board.nodes.changed(state.node_id, state, NOW_MS)
    return board


def time_queue(max_bots: int) -> float:
    """All arrive, and all come to their turn: CPU seconds."""
    starts, board = burst(max_bots), board_with_nodes(max_bots)
    began = time.process_time()
    running: list[str] = []
    for seq, event in enumerate(starts, 1):
        board.record(Recorded(event, NOW_MS, seq))
        board.admission.wait(event.session_id)
        running += board.admission.admit(NOW_MS)
        if board.slots.reserved.get(event.session_id) is None:
            board.admission.position(event.session_id)
    seq = len(starts)
    for session_id in running:  # grows while it is read
        slot = board.slots.reserved.get(session_id)
        assert slot is not None
        board.slots.took(slot.slot, session_id)
        board.admission.began(session_id)
        seq += 1
        over = SessionEnded(
            session_id=session_id, time=NOW, outcome=Outcome.COMPLETED, reason="rest", epoch=1, billable_ms=0
        )
        board.record(Recorded(over, NOW_MS, seq))
        board.slots.released(slot.slot, session_id)
        board.remove(session_id)
        if board.admission.may_admit(NOW_MS):
            running += board.admission.admit(NOW_MS)
    assert len(running) == len(starts)
    return time.process_time() - began


@dataclass
class Ports:
    """A log, slots, rooms and nodes that answer at once."""

    seq: int = 0
    kinds: dict[str, int] = field(default_factory=dict[str, int])

    async def append(self, event: Event, *, expect_last: int | None = None) -> Recorded:
        self.seq += 1
        self.kinds[event.event] = self.kinds.get(event.event, 0) + 1
        return Recorded(event, NOW_MS, self.seq)

    async def history(self, session_id: str) -> Sequence[Recorded]:
        return ()

    async def take(self, key: int, slot: Slot) -> None:
        return None

    async def release(self, key: int, session_id: str) -> None:
        return None

    async def assign(self, node_id: str, job: AssignJob) -> None:
        return None

    def expect(self, requested: SessionRequested) -> None:
        return None

    async def open(self, requested: SessionRequested) -> tuple[SessionRequested, str]:
        return requested, ""

    def agent_token(self, session_id: str, epoch: int) -> str:
        return "token"


async def time_leader(max_bots: int) -> float:
    """All arrive and have their first answer, `assigned` or `queued`: CPU seconds."""
    starts, board, ports = burst(max_bots), board_with_nodes(max_bots), cast(Any, Ports())
    clock = LogClock()
    clock.read(Reading(bus_ms=NOW_MS, last_seq=0, asked_s=0.0, answered_s=0.0))
    agents = Agents(ports, ports, "ws://127.0.0.1:9", ports, ports)
    timekeeper = Timekeeper(clock, ports, monotonic=lambda: 0.0)
    conductor = Conductor(board, timekeeper, ports, ports, ports, agents, lambda: True)
    conductor.begin()
    began = time.process_time()
    for event in starts:
        ports.seq += 1
        conductor.heard(Recorded(event, NOW_MS, ports.seq))
    while ports.kinds.get("assigned", 0) + ports.kinds.get("queued", 0) < len(starts):  # noqa: ASYNC110
        await asyncio.sleep(0)
    used = time.process_time() - began
    await conductor.stop()
    return used


async def measure() -> None:
    """All sizes."""
    parser = arguments(__doc__ or "", runs=None)
    parser.add_argument("--max-bots", type=int, nargs="+", default=SIZES, help="sizes (default %(default)s)")
    asked = parser.parse_args()
    logs.configure("bench", level="WARNING")
    figures: list[Figure] = []
    for size in asked.max_bots:
        goal = ("<=", 2.0) if size == 1_000 else None
        figures.append(Figure(f"MAX_BOTS {size}, {10 * size} starts: queue", "s", [time_queue(size)], goal=goal))
        figures.append(Figure(f"MAX_BOTS {size}, {10 * size} starts: leader", "s", [await time_leader(size)]))
    publish("A burst of ten times MAX_BOTS", figures, asked.json, notes=NOTES)


if __name__ == "__main__":
    run_bench(measure())
