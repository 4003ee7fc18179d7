"""An attacker's burst: 1,000 starts against one gateway with MAX_BOTS 50, many of whose clients hang up at once."""

import asyncio
import random
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from contracts.errors import PROBLEMS
from contracts.events import AgentReady, SessionRequested
from contracts.streams import IDEMPOTENCY, KEYS, SESSIONS, SLOTS
from contracts.subjects import session_event
from scheduler.adapters.livekit_rooms import LiveKitRooms
from tests.chaos.cell import START, Cell, Shape
from tests.support.servers import API_KEY, API_SECRET

KEY = "attacked-" + "k" * 32
BURST, USERS, OTHERS, DEADLINE_MS = 1_000, 20, 5, 20_000
SHAPE = Shape(
    max_bots=50,
    schedulers=1,
    nodes=2,
    slots=30,
    environment={"GREENROOM_API_KEYS": KEY, "MAX_QUEUE": "200", "QUEUE_DEADLINE_S": "30"},
)
READERS = 5  # of SESSIONS: the scheduler, the gateway's two, billing's, and its mark
LEFT_S = 130.0  # LiveKit closes a room that got no session after QUEUE_DEADLINE_S and a minute

pytestmark = [pytest.mark.timeout(240)]


@dataclass
class Answers:
    """What the clients heard."""

    codes: Counter[str] = field(default_factory=Counter[str])
    sessions: list[str] = field(default_factory=list[str])

    async def ask(self, http: httpx.AsyncClient, url: str, user: str, *, patience_s: float | None, **body: Any) -> None:
        try:
            async with asyncio.timeout(patience_s):
                answer = await http.post(url, json={"userName": user, "userId": user, **body})
        except (TimeoutError, httpx.HTTPError) as error:
            self.codes["hung up" if isinstance(error, TimeoutError) else type(error).__name__] += 1
            return
        told = answer.json()
        if answer.status_code < 300:
            self.codes[f"{answer.status_code}"] += 1
            self.sessions.append(told["sessionId"])
        else:
            assert told["code"] in PROBLEMS, told
            assert told["detail"], told
            self.codes[f"{answer.status_code} {told['code']}"] += 1


async def test_a_burst_of_a_thousand_starts_is_answered_leaves_nothing_and_others_get_their_share(
    tmp_path: Path,
) -> None:
    draw = random.Random(7)
    async with Cell.opened(tmp_path, SHAPE) as cell:
        url = f"{cell.gateway()}{START}"
        async with httpx.AsyncClient(timeout=60, trust_env=False, limits=httpx.Limits(max_connections=1_500)) as http:
            strangers = Answers()
            await asyncio.gather(*(strangers.ask(http, url, f"Eve {n}", patience_s=30) for n in range(200)))
            assert strangers.codes == {"401 unauthorized": 200}
            assert await cell.open_sessions() == set(), "no key: nothing begins"

            cell.http.headers["Authorization"] = http.headers["Authorization"] = f"Bearer {KEY}"
            attack = Answers()
            burst = [
                asyncio.create_task(
                    attack.ask(
                        http,
                        url,
                        f"Mallory {n % USERS}",
                        patience_s=draw.uniform(0.05, 2.0) if n % 2 else None,  # the client's own 60 s
                        wait="joined",
                        deadlineMs=DEADLINE_MS,
                    )
                )
                for n in range(BURST)
            ]
            await asyncio.sleep(1)  # the queue is full of theirs
            calls = asyncio.create_task(end_what_started(cell, attack))
            others = await asyncio.gather(
                *(cell.start(f"Ann {n}", userId=f"ann-{n}", wait="joined", deadlineMs=9_000) for n in range(OTHERS))
            )
            await asyncio.gather(*burst)
            assert None not in others, "a full queue keeps no other user's first start out"
            for session_id in others:
                await cell.until(AgentReady.event, session_id or "", within_s=60)
            assert sum(attack.codes.values()) == BURST
            statuses = {code.split()[0] for code in attack.codes if code != "hung up"}
            assert statuses <= {"200", "202", "429", "503", "504"}, attack.codes
            assert attack.codes["503 livekit_unavailable"] == 0, "a start waits for its turn at LiveKit"
            assert attack.codes["hung up"] > BURST / 10
            assert attack.codes["429 queue_full"] > 0

            calls.cancel()
            await asyncio.wait({calls})
        await nothing_is_left(cell)
        await cell.check()


async def end_what_started(cell: Cell, answers: Answers) -> None:
    """Calls of a moment: a slot becomes free again and again."""
    over = 0
    while True:
        for session_id in answers.sessions[over:]:
            over += 1
            await cell.end(session_id)
        await asyncio.sleep(0.2)


async def nothing_is_left(cell: Cell) -> None:
    """End what still runs; then no slot, room, request key, key of words or reader of a request is left."""
    while left := await cell.open_sessions():
        await asyncio.gather(*(cell.end(session_id) for session_id in left))
    rooms = LiveKitRooms(cell.livekit.url, API_KEY, API_SECRET, session_ms=60_000, queue_s=30, deployment="here")
    slots, until = cell.bus.bucket(SLOTS), time.monotonic() + LEFT_S
    try:
        while any((held := await slots.all(), there := await rooms.list())):
            assert time.monotonic() < until, f"slots {sorted(held)}, rooms {[room.name for room in there]}"
            await asyncio.sleep(0.5)
    finally:
        await rooms.close()
    assert len(await cell.bus.bucket(IDEMPOTENCY).all()) <= OTHERS, "only the other users sent a key"
    requested = session_event(SessionRequested.event, "*")
    begun = {stored.subject.rpartition(".")[2] async for stored in cell.bus.replay([requested], until_caught_up=True)}
    assert set(await cell.bus.bucket(KEYS).all()) <= begun, "a key of words belongs to a session"
    assert (await cell.bus.use_of(SESSIONS)).consumers <= READERS
    metrics = (await cell.http.get(f"{cell.gateway()}/metrics")).text.splitlines()
    for gauge in ("gateway_waiting_starts", "gateway_log_followers"):
        assert f"{gauge} 0.0" in metrics, [line for line in metrics if line.startswith(gauge)]
