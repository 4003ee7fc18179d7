"""The supervisor's ports in memory: workers that do what a test says, and an outbox that keeps what it is given."""

import itertools
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from agent_runner.domain.call import CallLimits
from agent_runner.domain.credit import CreditWarning
from agent_runner.link.messages import Ready, ToSupervisor, ToWorker, WorkerListener
from agent_runner.ports import ForkFailed, KeyGone, KeysUnavailable, LogUnavailable
from contracts.events import Event
from contracts.registry import NodeState, PrejoinedRoom

CALL_LIMITS = CallLimits(
    start_s=0.1,
    join_s=15,
    joining_silence_s=5,
    silence_s=1.5,
    kill_s=0.1,
    lifetime_s=1830,
    tick_s=5,
    opening="Hi {name}!",
    bridge="Sorry, go on.",
    bridge_to_answer="Sorry.",
    farewell="Goodbye.",
    warning=CreditWarning("Time is almost up."),
    turn_budget_ms=1200,
)
_pids = itertools.count(1000)


class FakeWorker:
    """A process: `say` what it says, `die`; `told` has what it was sent."""

    def __init__(self, listener: WorkerListener) -> None:
        self.listener = listener
        self.pid = next(_pids)
        self.is_gone = False
        self.told: list[ToWorker] = []
        self.history: bytes | None = None
        self.killed = False

    def send(self, message: ToWorker, *, history: bytes | None = None) -> None:
        self.told.append(message)
        self.history = history

    def kill(self) -> None:
        self.killed = True
        self.die()

    def say(self, *messages: ToSupervisor) -> None:
        for message in messages:
            self.listener.on_message(message)

    def die(self) -> None:
        if not self.is_gone:
            self.is_gone = True
            self.listener.on_gone()


class Ear:
    """Keeps what a worker said, and the times at which it was gone."""

    def __init__(self) -> None:
        self.heard: list[ToSupervisor] = []
        self.gone_at: list[float] = []

    def on_message(self, message: ToSupervisor) -> None:
        self.heard.append(message)

    def on_gone(self) -> None:
        self.gone_at.append(time.monotonic())

    def has(self, kind: type) -> bool:
        return any(isinstance(m, kind) for m in self.heard)


class FakeForks:
    """Forks workers; `broken` makes it fail, `slow` leaves them without `Ready`."""

    def __init__(self) -> None:
        self.workers: list[FakeWorker] = []
        self.broken = False
        self.slow = False

    async def fork(self, listener: WorkerListener) -> FakeWorker:
        if self.broken:
            raise ForkFailed("broken")
        worker = FakeWorker(listener)
        self.workers.append(worker)
        return worker

    def get_ready(self) -> None:
        """What was forked since is ready now."""
        for worker in self.workers:
            if not worker.is_gone and not worker.told:
                worker.say(Ready(pid=worker.pid))


class FakeOutbox:
    """Publishes at once; while `is_away`, NATS is, and events wait."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.waiting: list[Event] = []
        self.is_away = False
        self.closed = False

    def put(self, event: Event, *, expect_last: int | None = None) -> None:
        if self.is_away:
            self.waiting.append(event)
        elif all(known.id != event.id for known in self.events):
            self.events.append(event)

    async def flush(self, deadline_s: float) -> bool:
        return not self.waiting

    def close(self) -> None:
        self.closed = True


class FakeOutboxes:
    """One outbox for all."""

    def __init__(self) -> None:
        self.outbox = FakeOutbox()

    def open(self, session_id: str, epoch: int) -> FakeOutbox:
        return self.outbox


class FakeSessionLog:
    """`epoch` and `events` are what it has; `asked` has whose last epoch was asked for; `is_away`: NATS is."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.epoch: int | None = 1
        self.events: Sequence[Event] = ()
        self.is_away = False

    async def last_epoch(self, session_id: str, *, deadline_s: float) -> int | None:
        self.asked.append(session_id)
        self._check()
        return self.epoch

    async def history(self, session_id: str, *, deadline_s: float) -> Sequence[Event]:
        self._check()
        return self.events

    def _check(self) -> None:
        if self.is_away:
            raise LogUnavailable("away")


class FakeCallLogs:
    """Remembers which sessions it follows, and for how many jobs: two epochs of a session may overlap."""

    def __init__(self) -> None:
        self._jobs: Counter[str] = Counter()

    @property
    def followed(self) -> set[str]:
        return set(+self._jobs)

    def follow(self, session_id: str, file: Path) -> None:
        self._jobs[session_id] += 1

    def leave(self, session_id: str) -> None:
        if self._jobs[session_id]:
            self._jobs[session_id] -= 1


class FakeRegistry:
    """`shown` has each state that was written; `on_announce` is called before, `is_away` refuses."""

    def __init__(self) -> None:
        self.shown: list[NodeState] = []
        self.is_away = False
        self.on_announce: Callable[[], object] = lambda: None

    async def announce(self, state: NodeState) -> bool:
        self.on_announce()
        if not self.is_away:
            self.shown.append(state)
        return not self.is_away

    async def delete(self, node_id: str) -> None:
        self.shown.clear()


class FakeKeys:
    """The bucket `prejoined`; `offered` has each key with its revision."""

    def __init__(self) -> None:
        self.offered: dict[str, int] = {}
        self.is_away = False
        self.on_offer = lambda: None

    async def offer(self, room: PrejoinedRoom) -> int:
        self._check()
        if room.session_id in self.offered:
            raise KeyGone(room.session_id)
        self.offered[room.session_id] = 1
        self.on_offer()
        return 1

    async def renew(self, room: PrejoinedRoom, revision: int) -> int:
        self._check()
        if room.session_id not in self.offered:
            raise KeyGone(room.session_id)
        self.offered[room.session_id] += 1
        return self.offered[room.session_id]

    async def delete(self, session_id: str, revision: int) -> None:
        self._check()
        if session_id not in self.offered:
            raise KeyGone(session_id)
        del self.offered[session_id]

    def _check(self) -> None:
        if self.is_away:
            raise KeysUnavailable("away")
