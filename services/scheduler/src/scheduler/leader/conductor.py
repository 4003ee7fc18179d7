"""Performs what the domain decides about each session, and decides again until nothing is left to do."""

from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from opentelemetry.trace import SpanKind

from chassis import logs, telemetry
from contracts.causes import Cause
from contracts.events import JobAssigned, Outcome
from scheduler.domain import decision as d
from scheduler.domain.board import Board
from scheduler.domain.facts import Asked, EndSent, Fact, Facts, FailureCounted, Measured, RoomDeleted, StopSent
from scheduler.domain.session import Recorded, Session
from scheduler.leader import figures
from scheduler.leader.admitter import Admitter
from scheduler.leader.agents import Agents
from scheduler.leader.asking import Asking
from scheduler.leader.beginnings import Beginnings
from scheduler.leader.endings import Endings
from scheduler.leader.placing import Placing
from scheduler.leader.steps import Steps
from scheduler.leader.timekeeper import Timekeeper
from scheduler.ports import Rooms, SessionLog, Slots

log = logs.get_logger(__name__)


class Conductor:
    """Acts for the leader from `begin` until `stop`; before, it only takes records and facts in."""

    def __init__(
        self,
        board: Board,
        timekeeper: Timekeeper,
        session_log: SessionLog,
        slots: Slots,
        rooms: Rooms,
        agents: Agents,
        is_leading: Callable[[], bool],
    ) -> None:
        self.board = board
        self.time = timekeeper
        self._log = session_log
        self._slots = slots
        now_ms = timekeeper.now_ms
        self.steps = Steps(
            self._step, self._read_back, now_ms=now_ms, is_leading=is_leading, is_known=board.roster.__contains__
        )
        self._admitter = Admitter(board, now_ms, self.wake)
        self._asking = Asking(board, agents, self.steps.timers, now_ms, self.learn, self.capacity_changed)
        self.beginnings = Beginnings(session_log, timekeeper)
        self._endings = Endings(session_log, rooms, agents, timekeeper, self.beginnings, self.learn)
        self._placing = Placing(
            board, timekeeper, session_log, slots, self._admitter, note=self._note, measure=self._endings.measure
        )

    @property
    def is_acting(self) -> bool:
        """Whether it may act: begun, not stopped, and the lease is ours."""
        return self.steps.are_acting

    def begin(self) -> None:
        """Act from now on, beginning with every open session."""
        self.steps.begin(self.board.roster.ids())

    def begin_again(self, session: Session, history: Sequence[Recorded]) -> None:
        """Go on with a session whose log lost its beginning and has it again."""
        self.board.begin_again(session)
        for record in history:
            self.heard(record)
        self.wake(session.session_id)

    async def stop(self) -> None:
        """Cancel everything in flight; another leader repeats it."""
        self._admitter.stop()
        await self.steps.stop()

    def heard(self, record: Recorded) -> None:
        """Take in a record of the log."""
        event = record.event
        if isinstance(event, JobAssigned) and event.session_id not in self.board.roster and self.is_acting:
            # Another leader's, after `ended`: the log's compare-and-set is on each kind of event alone.
            self.beside(self._endings.stop_if_ended(event.session_id, event.epoch, event.node_id))
        self._note(record)

    def learn(self, session_id: str, fact: Fact) -> None:
        """Note a fact about a session, and decide about the session again if it is new."""
        if self.board.roster.learn(session_id, fact):
            self.wake(session_id)

    def wake(self, session_id: str) -> None:
        """Decide about a session again."""
        self.steps.wake(session_id)

    def sweep(self) -> None:
        """Wake every session without a timer and a running step.

        Only a bug leaves a session like that, and a bug must not leave an accepted session without its end.
        """
        for session_id in self.board.roster.ids():
            if self.steps.is_idle(session_id):
                self.wake(session_id)

    def capacity_changed(self) -> None:
        """Look at the queue in a moment: a slot or a node may be free."""
        if self.steps.has_begun:
            self._admitter.capacity_changed()

    def stop_job(self, session_id: str, epoch: int, node_id: str, reason: str) -> None:
        """Tell a node to stop an epoch; no step waits for the reply."""
        self.beside(self._endings.stop_job(session_id, epoch, node_id, reason))

    def beside(self, work: Coroutine[Any, Any, None]) -> None:
        """Run this beside every step, until the term ends."""
        self.steps.beside(work)

    def _note(self, record: Recorded) -> None:
        session_id = self.board.record(record)
        if session_id is not None and self.steps.has_begun:
            figures.count(self.board.in_log_time(record), self.board.roster.session(session_id))
            self.wake(session_id)

    async def _step(self, session_id: str) -> bool:
        """Decide once and act; True when that changed something.

        Raises:
            Outrun: Another writer was first.
        """
        session, timers = self.board.roster.session(session_id), self.steps.timers
        if session is None:
            timers.set(session_id, None)
            return False
        now_ms = self.time.now_ms()
        facts = self.board.facts(session_id, now_ms)
        decided = d.decide(session, facts, now_ms, self.board.limits)
        timers.set(session_id, decided.wake_at_ms)
        changed = False
        for action in decided.actions:
            with telemetry.span(
                f"scheduler {type(action).__name__}",
                SpanKind.INTERNAL,
                parent=telemetry.extract(self.board.roster.trace(session_id)),
                attributes={"session.id": session_id},
            ):
                changed |= await self._perform(session, facts, action)
        return changed

    async def _perform(self, session: Session, facts: Facts, action: d.Action) -> bool:
        session_id, learn = session.session_id, self.board.roster.learn
        match action:
            case d.Place():
                self._asking.expect(session)
                current = session.current
                return await (self._placing.next(session, current) if current else self._placing.first(session))
            case d.Ask(epoch):
                learn(session_id, Asked(epoch))
                self.beside(self._asking.ask(session, session.attempts[epoch], action))
            case d.StopSuperseded(epoch, node_id):
                learn(session_id, StopSent(epoch))
                self.stop_job(session_id, epoch, node_id, Cause.SUPERSEDED)
            case d.CountFailure(epoch, node_id, failure):
                learn(session_id, FailureCounted(epoch))
                self._asking.suspend(node_id, failure)
            case d.StopAgent(epoch):
                learn(session_id, EndSent(epoch, self.time.now_ms(), action.verdict, speaks=bool(action.say)))
                self.beside(self._endings.stop_agent(session_id, action))
            case d.Measure():
                metered = await self._endings.measure(session_id)
                learn(session_id, Measured(metered.billable_ms, self.time.now_ms()))
            case d.End(verdict):
                nodes = self._placing.considered(session) if verdict.outcome is Outcome.REJECTED else ()
                self._note(await self._endings.end(session, facts, verdict, nodes))
            case d.ReleaseSlot(key):
                await self._slots.release(key, session_id)
                self.board.slots.released(key, session_id)
                self.capacity_changed()
            case d.DeleteRoom():
                learn(session_id, RoomDeleted())
                self.beside(self._endings.delete_room(session_id))
            case d.Remove():
                self.board.remove(session_id)
                self._asking.ended(session_id)
                self.steps.timers.set(session_id, None)
                self.capacity_changed()
                return False
        return True

    async def _read_back(self, session_id: str) -> None:
        """Read what another writer wrote first: the log and the bucket decide."""
        mark = self.board.slots.mark()
        held = await self._slots.held()
        self.board.slots.read({key: entry.session_id for key, entry in held.items()}, mark)
        for record in await self._log.history(session_id):
            self._note(record)
