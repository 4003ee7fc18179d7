"""What holds after every fault: one end, one bill, one voice, nothing left. The numbers are those of the design's page.

`check` is the last line of each test. Bounds of billed time: a clean end within 1 s of what the caller saw; each
worker's crash may lose up to 1 s more, each node's loss up to 5 s (one tick), and neither may add anything.
"""

import asyncio
import sqlite3
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import redis.asyncio

from contracts.api import SessionBill
from contracts.events import AgentReady, JobAssigned, SessionEnded, SessionRequested, SessionStarted
from tests.chaos.participant import Participant, Sound
from tests.chaos.scene import Scene
from tests.chaos.session import Session
from tests.support.processes import is_alive

GONE_S = 60.0
CLEAN_S = 1.0
CRASH_S = 1.0
NODE_LOSS_S = 5.0
SEEN_S = 0.3  # how much later than the node, or earlier, a caller on a busy host may see a participant join or leave
JITTER_S = 0.25  # what a caller's jitter buffer still plays of a track that is gone


@dataclass(frozen=True)
class Served:
    """What a call was worth, as its caller saw it.

    Attributes:
        seconds: Caller and agent were both in the room.
        crashes: Workers that died or were killed.
        lost_nodes: Nodes that went without a word.
        unnoticed_s: How long LiveKit took a dead caller for present, at most; it may be billed.
        faults_s: How long a provider failed and was used again, at most; that is not billed.
    """

    seconds: float
    crashes: int = 0
    lost_nodes: int = 0
    unnoticed_s: float = 0.0
    faults_s: float = 0.0

    @property
    def least_s(self) -> float:
        lost_s = self.crashes * CRASH_S + self.lost_nodes * NODE_LOSS_S + self.faults_s
        return self.seconds - CLEAN_S - lost_s - SEEN_S

    @property
    def most_s(self) -> float:
        # After a crash only the clean rest of the call may be measured a little long.
        clean_s = 0.0 if self.crashes or self.lost_nodes else CLEAN_S
        return self.seconds + clean_s + SEEN_S + self.unnoticed_s


async def check(scene: Scene, session: Session, *callers: Participant, served: Served) -> SessionBill:
    """Assert every invariant of an ended session; returns its bill.

    Args:
        callers: Everybody who listened.
        served: What the call was worth.
    """
    await nothing_is_left(scene, session)
    bill = await session.bill()
    _one_end(session)
    _one_greeting(session)
    _one_bill(scene, session, bill)
    _fair_bill(session, bill, served, callers)
    one_voice(session, callers)
    return bill


def _one_end(session: Session) -> None:
    counts = Counter(type(stored.event) for stored in session.log)
    for kind in (SessionRequested, SessionEnded):
        assert counts[kind] == 1, f"{counts[kind]} x {kind.event}\n{session.evidence()}"
    assert counts[SessionStarted] <= 1, f"{counts[SessionStarted]} x started\n{session.evidence()}"
    epochs = [event.epoch for event in session.events(JobAssigned)]
    assert epochs == list(range(1, len(epochs) + 1)), f"epochs {epochs}\n{session.evidence()}"
    ready = [event.epoch for event in session.events(AgentReady)]
    assert ready == sorted(set(ready)), f"agents came in the order {ready}\n{session.evidence()}"


def _one_greeting(session: Session) -> None:
    """The opening line belongs to the first epoch that came into the room, and only to it."""
    opening = session.events(SessionRequested)[0].opening_line
    greeted = {s.event.epoch for s in session.log if _text(s.event) == opening}  # type: ignore[union-attr]
    assert len(greeted) <= 1, f"the opening line was said in the epochs {greeted}\n{session.evidence()}"


def _text(event: object) -> str:
    return str(getattr(event, "heard_text", ""))


def _one_bill(scene: Scene, session: Session, bill: SessionBill) -> None:
    """One settlement row, one usage entry; rows of the ledger are added and never changed."""
    rows = _rows(scene)
    for key, row in scene.ledger.items():
        assert rows.get(key) == row, f"the ledger's row {key} was {row} and is {rows.get(key)}\n{session.evidence()}"
    scene.ledger = rows
    settled = [row for key, row in rows.items() if key == f"settlements/{session.id}"]
    kinds = Counter(entry.kind for entry in bill.entries)
    assert len(settled) == 1, f"{len(settled)} settlements\n{session.evidence()}"
    assert kinds["usage"] == 1, f"{kinds}\n{bill}\n{session.evidence()}"
    assert kinds["adjustment"] == 0, f"{kinds}\n{bill}\n{session.evidence()}"
    assert bill.difference_ms == 0, f"{bill}\n{session.evidence()}"


def _fair_bill(session: Session, bill: SessionBill, served: Served, callers: Sequence[Participant]) -> None:
    billed_s = bill.billable_ms / 1000
    assert served.least_s <= billed_s <= served.most_s, (
        f"{billed_s:.2f} s are billed; {served} allows {served.least_s:.2f} to {served.most_s:.2f} s\n"
        f"{session.evidence()}\n" + "\n".join(caller.evidence() for caller in callers)
    )
    assert (bill.seconds, bill.minutes) == (bill.billable_ms // 1000, -(-(bill.billable_ms // 1000) // 60)), bill


def one_voice(session: Session, callers: Iterable[Participant]) -> None:
    """At no time are two agents heard."""
    for caller in callers:
        for first, second in combinations(caller.sounds, 2):
            if first.track != second.track and _sound_together(first, second):
                raise AssertionError(
                    f"two agents at once: {first}, {second}\n{caller.evidence()}\n{session.evidence()}"
                )


def _sound_together(first: Sound, second: Sound) -> bool:
    now = time.monotonic()
    since = max(first.since, second.since)
    return min(first.until or now, second.until or now) - since > JITTER_S


async def nothing_is_left(scene: Scene, session: Session) -> None:
    """No room, slot, job, process or member of a set outlives the session by a minute."""
    deadline = time.monotonic() + GONE_S
    while left := await _left(scene, session):
        if time.monotonic() > deadline:
            raise AssertionError(f"{left} are left after {GONE_S:g} s\n{session.evidence()}")
        await asyncio.sleep(0.2)


async def _left(scene: Scene, session: Session) -> list[str]:
    found: list[str] = []
    if session.id in await scene.rooms():
        found.append("the room")
    if session.id in await scene.slots():
        found.append("its slot")
    for name, node in (await scene.registry()).items():
        found += [f"a job of {name}, epoch {job.epoch}" for job in node.jobs if job.session_id == session.id]
    found += [f"the process {ready.pid}" for ready in session.events(AgentReady) if is_alive(ready.pid)]
    async with redis.asyncio.from_url(scene.stack.environment["REDIS_URL"], decode_responses=True) as store:
        for name in ("session:ready", "session:starting"):
            if await store.sismember(name, session.id):
                found.append(f"a member of {name}")
        if await store.exists(f"agent:{session.id}:pid"):
            found.append("agent:{id}:pid")
        if await store.hget(f"session:{session.id}", "status") not in ("ended", "rejected"):
            found.append("a session that Redis does not show as over")
    return found


def _rows(scene: Scene) -> dict[str, tuple[Any, ...]]:
    """All rows of the ledger, straight from the database's file."""
    file = scene.stack.environment["DATABASE_URL"].removeprefix("sqlite+aiosqlite:///")
    database = sqlite3.connect(f"file:{file}?mode=ro", uri=True, timeout=5)
    try:
        return {
            f"{table}/{row[0]}": row
            for table in ("settlements", "ledger_entries")
            for row in database.execute(f"SELECT * FROM {table}")
        }
    finally:
        database.close()
