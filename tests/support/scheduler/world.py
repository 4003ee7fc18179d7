"""A small world behind the scheduler's ports: a log and slots with compare-and-set, nodes, LiveKit, and one clock."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from typing import Self, TypeVar

from contracts.commands import AssignJob, EndJob, JobDescribed, JobEnded, PrejoinRoom
from contracts.events import EndRequested, Event, SessionEnded, SessionRequested
from contracts.registry import NodeJob, NodeState, Slot
from scheduler.domain.board import Board
from scheduler.domain.clock import LogClock, Reading
from scheduler.domain.limits import Limits
from scheduler.domain.session import Recorded
from scheduler.leader.agents import Agents
from scheduler.leader.conductor import Conductor
from scheduler.leader.reconciler import Reconciler
from scheduler.leader.restorer import Restorer
from scheduler.leader.room_repair import RoomRepair
from scheduler.leader.timekeeper import Timekeeper
from scheduler.ports import HeldSlot, LogTail, NodeSilent, NotAccepted, Outranked, Outrun, Room, RoomRecord, Unavailable
from tests.support.events import SESSION, T0, ready, requested, started, stopped
from tests.support.scheduler.builders import at_ms, node
from tests.support.words import FakeWords

E = TypeVar("E", bound=Event)


class Feed:
    """A leader's view of the log: it sees a record when the test lets it."""

    def __init__(self, records: list[Recorded]) -> None:
        self.caught_up = asyncio.Event()
        self._records = records

    async def __aiter__(self) -> AsyncIterator[Recorded]:
        for record in self._records:
            yield record


@dataclass
class World:
    """Everything outside; shared by all leaders.

    Attributes:
        monotonic_s: The one clock, moved by the test.
        written_s: When each record really was written.
        set_ms: By how much the clock that stamps the log was set since.
        down: Every call to the bus fails.
        last_term: Of the leader that gained the lease last.
        heard_terms: Node -> the greatest term in a command to it.
        whole_since_ms: What was written to the log earlier may be gone.
        log_made_ms: When the log's stream was made.
        described: The sessions whose jobs the nodes reported again.
        unanswered: The sessions that a silent node was asked to describe.
        taken_s: When a node took a session's job.
    """

    limits: Limits
    records: list[Recorded] = field(default_factory=list[Recorded])
    written_s: list[float] = field(default_factory=list[float])
    held_slots: dict[int, HeldSlot] = field(default_factory=dict[int, HeldSlot])
    most_held: int = 0
    states: dict[str, NodeState] = field(default_factory=dict[str, NodeState])
    jobs: dict[str, dict[str, AssignJob]] = field(default_factory=dict[str, dict[str, AssignJob]])
    refusing: set[str] = field(default_factory=set[str])
    silent: set[str] = field(default_factory=set[str])
    keyless: set[str] = field(default_factory=set[str])
    ends: list[EndJob] = field(default_factory=list[EndJob])
    rooms: set[str] = field(default_factory=set[str])
    monotonic_s: float = 1_000.0
    down: bool = False
    set_ms: int = 0
    rooms_made_ms: int = 0
    deployment: str | None = "here"
    last_term: int = 0
    heard_terms: dict[str, int] = field(default_factory=dict[str, int])
    whole_since_ms: int = 0
    log_made_ms: int = 1
    described: list[str] = field(default_factory=list[str])
    unanswered: list[str] = field(default_factory=list[str])
    taken_s: dict[str, float] = field(default_factory=dict[str, float])
    words: FakeWords = field(default_factory=FakeWords)

    def now_ms(self) -> int:
        return T0 + self.set_ms + round((self.monotonic_s - 1_000.0) * 1000)

    def write(self, event: Event, *, expect_last: int | None = None) -> Recorded:
        last = next((r for r in reversed(self.records) if r.event.subject == event.subject), None)
        if expect_last is not None and expect_last != (last.seq if last else 0):
            if last is not None and last.event.id == event.id:
                return last
            raise Outrun(event.subject)
        record = Recorded(event, self.now_ms(), len(self.records) + 1)
        self.records.append(record)
        self.written_s.append(self.monotonic_s)
        return record

    def request_end(self) -> None:
        self.write(EndRequested(session_id=SESSION, time=at_ms(self.now_ms()), by="api", reason="requested"))

    def kinds(self) -> list[str]:
        return [r.event.event for r in self.records]

    def written(self, kind: type[E]) -> list[E]:
        return [r.event for r in self.records if isinstance(r.event, kind)]

    async def _reach(self) -> None:
        await asyncio.sleep(0)
        if self.down:
            raise Unavailable("the world is down")

    # --- SessionLog

    def follow(self, after_seq: int) -> Feed:
        return Feed([r for r in self.records if r.seq > after_seq])

    def follow_rooms(self, since_ms: int) -> AsyncIterator[RoomRecord]:
        raise NotImplementedError

    async def unfinished(self) -> frozenset[str]:
        begun = {event.session_id for event in self.written(SessionRequested)}
        return frozenset(begun - {event.session_id for event in self.written(SessionEnded)})

    async def requested_since(self, since_ms: int) -> frozenset[str]:
        requests = (r for r in self.records if isinstance(r.event, SessionRequested) and r.stored_ms >= since_ms)
        return frozenset(r.event.session_id for r in requests)

    async def lifecycles(self, session_ids: Sequence[str]) -> Sequence[Recorded]:
        await self._reach()
        return [r for r in self.records if r.event.session_id in session_ids]

    async def history(self, session_id: str) -> Sequence[Recorded]:
        await self._reach()
        return [r for r in self.records if r.event.session_id == session_id]

    async def begins_ms(self) -> int:
        await self._reach()
        return self.whole_since_ms

    async def made_ms(self) -> int:
        await self._reach()
        return self.log_made_ms

    def lose_log(self) -> None:
        """The stream is recreated."""
        self.records.clear()
        self.whole_since_ms = self.log_made_ms = self.now_ms()

    def lose_store(self) -> None:
        """The log and the slots are gone."""
        self.lose_log()
        self.held_slots.clear()

    async def tail(self) -> LogTail:
        await self._reach()
        requests = [n for n, r in enumerate(self.records, 1) if isinstance(r.event, SessionRequested)]
        return LogTail(seq=len(self.records), last_request_seq=max(requests, default=0))

    async def append(self, event: Event, *, expect_last: int | None = None) -> Recorded:
        await self._reach()
        same = next((r for r in self.records if r.event.id == event.id), None) if expect_last is None else None
        record = same or self.write(event, expect_last=expect_last)
        await asyncio.sleep(0)
        return record

    async def clock(self) -> tuple[int, int]:
        await self._reach()
        return self.now_ms(), len(self.records)

    # --- Slots

    async def held(self) -> dict[int, HeldSlot]:
        await self._reach()
        return dict(self.held_slots)

    async def take(self, key: int, slot: Slot) -> None:
        await self._reach()
        owner = self.held_slots.get(key)
        if owner is not None:
            if owner.session_id != slot.session_id:
                raise Outrun(str(key))
            return
        self.held_slots[key] = HeldSlot(slot, 1)
        self.most_held = max(self.most_held, len(self.held_slots))

    async def release(self, key: int, session_id: str) -> None:
        await self._reach()
        owner = self.held_slots.get(key)
        if owner is not None and owner.session_id == session_id:
            del self.held_slots[key]

    async def sweep(self, key: int, held: HeldSlot) -> None:
        await self._reach()
        if self.held_slots.get(key) == held:
            del self.held_slots[key]

    # --- Nodes

    async def prepare(self) -> None:
        await self._reach()

    async def watch(self, changed: Callable[[str, NodeState | None], None], caught_up: asyncio.Event) -> None:
        raise NotImplementedError

    async def find(self, node_id: str) -> NodeState | None:
        await self._reach()
        return self.reports().get(node_id) if node_id not in self.keyless else None

    async def answers(self, node_id: str) -> bool:
        await self._reach()
        return node_id in self.states and node_id not in self.silent

    async def assign(self, node_id: str, job: AssignJob) -> None:
        await self._reach()
        if node_id not in self.states or node_id in self.silent:
            raise NotAccepted("no_answer")
        self._obey(node_id, job.term)
        if node_id in self.refusing:
            raise NotAccepted("full")
        held = self.jobs.setdefault(node_id, {}).get(job.session_id)
        if held is None or held.epoch < job.epoch:
            self.jobs[node_id][job.session_id] = job
            self.taken_s[job.session_id] = self.monotonic_s

    async def prejoin(self, node_id: str, order: PrejoinRoom) -> None:
        raise NotImplementedError

    async def describe(self, node_id: str, session_id: str, epoch: int) -> JobDescribed | None:
        await self._reach()
        job = self.jobs.get(node_id, {}).get(session_id)
        if node_id in self.silent:
            self.unanswered.append(session_id)
            raise NodeSilent(node_id)
        if job is None or job.epoch != epoch:
            return None
        self.described.append(session_id)
        self.join(node_id, session_id)
        return JobDescribed(
            user_name=job.user_name,
            user_id=job.user_id,
            voice_id=job.voice_id,
            opening_line=job.opening_line,
            system_prompt=job.system_prompt,
            language=job.language,
            interruptible=job.interruptible,
            granted_minutes=job.granted_minutes,
            words_key=job.words_key,
            served_ms_before=job.served_ms_before,
            billable_ms_before=job.billable_ms_before,
            age_ms=round((self.monotonic_s - self.taken_s[session_id]) * 1000),
        )

    async def end(self, node_id: str, job: EndJob) -> JobEnded | None:
        await self._reach()
        if node_id not in self.states or node_id in self.silent:
            return None
        self._obey(node_id, job.term)
        self.ends.append(job)
        held = self.jobs.get(node_id, {}).get(job.session_id)
        if held is None or held.epoch != job.epoch:
            return JobEnded(found=False, served_ms=0, process_gone=True)
        self.stop(node_id, job.session_id, "ended")
        return JobEnded(found=True, served_ms=100, process_gone=True)

    def _obey(self, node_id: str, term: int) -> None:
        heard = self.heard_terms.get(node_id, 0)
        if term < heard:
            raise Outranked(heard)
        self.heard_terms[node_id] = term

    def stop(self, node_id: str, session_id: str, cause: str) -> None:
        """The worker is gone; the node says so."""
        job = self.jobs[node_id].pop(session_id)
        self.write(stopped(100, job.epoch, cause, session_id=session_id))

    def join(self, node_id: str, session_id: str) -> None:
        """The agent is in the room."""
        epoch = self.jobs[node_id][session_id].epoch
        event = ready(epoch, node_id, session_id=session_id)
        if all(record.event.id != event.id for record in self.records):
            self.write(event)

    def reports(self) -> dict[str, NodeState]:
        """What the live nodes say of themselves now."""
        return {
            name: state.model_copy(
                update={
                    "busy": len(self.jobs.get(name, {})),
                    "jobs": tuple(
                        NodeJob(session_id=s, epoch=j.epoch, pid=1) for s, j in self.jobs.get(name, {}).items()
                    ),
                }
            )
            for name, state in self.states.items()
        }

    def add_node(self, node_id: str, slots: int = 2) -> None:
        self.states[node_id] = node(node_id, slots=slots, warm=slots)

    # --- Rooms

    async def list(self, names: Sequence[str] | None = None) -> "list[Room]":
        await asyncio.sleep(0)
        return [
            Room(n, "RM", self.rooms_made_ms or self.now_ms(), self.deployment)
            for n in self.rooms
            if names is None or n in names
        ]

    async def create(self, name: str) -> None:
        self.rooms.add(name)

    async def delete(self, name: str) -> None:
        await asyncio.sleep(0)
        self.rooms.discard(name)

    async def identities(self, name: str) -> dict[str, str]:
        return {}

    def agent_token(self, session_id: str, epoch: int) -> str:
        return f"{session_id}/{epoch}"


class Leader:
    """One scheduler that believes it leads; it hears the log with the lag that the test gives it.

    Attributes:
        holds: It has the lease, by its own clock.
    """

    def __init__(
        self,
        world: World,
        make_agents: Callable[["Leader"], Agents] | None = None,
        clock: LogClock | None = None,
        former: "Leader | None" = None,
    ) -> None:
        """Gain the lease.

        Args:
            clock: That of the process, where it stood by before.
            former: An earlier term of the same process.
        """
        self.world = world
        self.holds = True
        world.last_term += 1
        self.term = world.last_term
        clock = LogClock() if clock is None else clock
        clock.read(Reading(world.now_ms(), len(world.records), world.monotonic_s, world.monotonic_s))
        self.timekeeper = Timekeeper(clock, world, monotonic=lambda: world.monotonic_s)  # pyright: ignore[reportArgumentType]
        self.board = Board(world.limits, self.timekeeper.now_ms(), stored_ms=self.timekeeper.stored_ms)
        self.conductor = Conductor(
            self.board,
            self.timekeeper,
            world,  # pyright: ignore[reportArgumentType]
            world,
            world,
            Agents(world, world, "ws://x", self, world.words) if make_agents is None else make_agents(self),
            lambda: self.holds,
        )
        self.restorer = Restorer(self.conductor, world, world, world, world.words)  # pyright: ignore[reportArgumentType]
        self.rooms = RoomRepair(self.conductor, world, self.restorer, deployment="here")
        known = () if former is None else tuple(former.board.roster.open_sessions())
        self.reconciler = Reconciler(self.conductor, world, self.restorer, self.rooms, every_s=15, former=known)
        self.heard = 0

    async def begin(self) -> Self:
        """Read back what there is, as a term does."""
        self.hear()
        self.board.slots.read({key: entry.session_id for key, entry in self.world.held_slots.items()})
        self.see_nodes()
        self.conductor.begin()
        return self

    def hear(self, n: int | None = None) -> None:
        """The next n records of the log; None: all."""
        for record in self.world.records[self.heard : None if n is None else self.heard + n]:
            self.conductor.heard(record)
            self.heard += 1

    async def catch_up(self) -> None:
        """Hear all of the log, and do what follows."""
        self.hear()
        await settle()

    async def go_on(self) -> None:
        """Hear all of the log, do what is due, and hear what came of it; the clock is read as a term reads it."""
        await self.hear_placed(len(self.world.records))
        self.time_passed()
        await settle()
        await self.hear_placed(len(self.world.records))
        await settle()

    async def repair(self, *, rounds: int = 1) -> None:
        for _ in range(rounds):
            await self.reconciler.reconcile()
            await settle()

    async def hear_placed(self, n: int) -> None:
        """The same as a term does it: a record whose stamp looks odd calls for a reading of the clock."""
        for record in self.world.records[self.heard : self.heard + n]:
            await self.timekeeper.check_clock(record)
            self.conductor.heard(record)
            self.heard += 1

    def see_nodes(self) -> None:
        """The current registry."""
        gone = [s.node_id for s in self.board.fleet.states() if s.node_id not in self.world.states]
        for node_id in gone:
            self.board.nodes.changed(node_id, None, self.timekeeper.now_ms())
        for node_id, state in self.world.reports().items():
            for session_id in self.board.nodes.changed(node_id, state, self.timekeeper.now_ms()):
                self.conductor.wake(session_id)
        for node_id in self.board.nodes.missing():
            if node_id not in self.world.states and self.timekeeper.now_ms() >= self.board.nodes.judge_from_ms:
                for session_id in self.board.nodes.lose(node_id):
                    self.conductor.wake(session_id)
        for session_id in self.board.admission.admit(self.timekeeper.now_ms()):
            self.conductor.wake(session_id)

    async def outbid(self, term: int) -> bool:
        """Only the one that gained the lease last still has it."""
        if self.term != self.world.last_term:
            return False
        self.term = self.world.last_term = max(self.term, term + 1)
        return True

    async def read_clock(self) -> None:
        """What a process does each second, leading or not."""
        if not self.world.down:
            await self.timekeeper.read()

    def time_passed(self) -> None:
        """What is due by now."""
        self.conductor.steps.timers.fire()


async def leads(world: World) -> Leader:
    """A leader with one node, n1."""
    world.add_node("n1")
    return await Leader(world).begin()


async def asked(world: World, request: SessionRequested | None = None) -> Leader:
    """A leader that has heard one start, and made its first steps."""
    leader = await Leader(world).begin()
    world.write(request or requested())
    leader.hear(1)
    await settle()
    return leader


async def in_call(world: World, request: SessionRequested | None = None, *, is_heard: bool = True) -> Leader:
    """A leader with one node, n1, on which a call runs: agent and caller are in the room.

    Args:
        is_heard: The leader has heard that they are.
    """
    leader = await leads(world)
    world.write(request or requested())
    await leader.go_on()
    world.join("n1", SESSION)
    world.write(started())
    world.rooms.add(SESSION)
    if is_heard:
        await leader.go_on()
    return leader


async def settle(turns: int = 40) -> None:
    """Let every step that is under way finish, or go on for some turns."""
    for _ in range(turns):
        await asyncio.sleep(0)
