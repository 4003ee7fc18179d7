"""Carries out what the domain decides, one step at a time for each session, many sessions at once."""

import asyncio
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from typing import Any, Final

from chassis.nats.kv.lease import asleep_or_not_s
from contracts.causes import Cause
from contracts.end_reasons import EndReason
from contracts.events import JobAssigned, SessionQueued
from contracts.metering import Metered, is_spent
from contracts.registry import Slot
from opentelemetry.trace import SpanKind

from chassis import logs, telemetry
from scheduler.domain import decision as d
from scheduler.domain.clock import LogClock
from scheduler.domain.ending import queue_deadline_ms
from scheduler.domain.facts import Facts
from scheduler.domain.placement import NoPlace
from scheduler.domain.session import Recorded, Session
from scheduler.leader import figures
from scheduler.leader.agents import Agents
from scheduler.leader.asking import Asking
from scheduler.leader.board import Board, region_of
from scheduler.leader.endings import Endings
from scheduler.leader.timers import Timers
from scheduler.ports import Outrun, Rooms, SessionLog, Slots, Unavailable

_STEPS_AT_ONCE: Final = 128  # sessions; each waits for NATS only, never for a node or LiveKit
_RETRY_MS: Final = 250
_AFTER_A_BUG_MS: Final = 5_000
_MOST_OUTRUNS: Final = 1  # in a row; more mean that something stands there that reading back does not show
_ADMIT_S: Final = 0.02  # reports of nodes within so long lead to one look at the queue

log = logs.get_logger(__name__)


class Conductor:
    """Acts for the leader, from `begin` until `stop`; before it only listens."""

    def __init__(
        self,
        board: Board,
        clock: LogClock,
        session_log: SessionLog,
        slots: Slots,
        rooms: Rooms,
        agents: Agents,
        is_leading: Callable[[], bool],
        *,
        monotonic: Callable[[], float] = asleep_or_not_s,
    ) -> None:
        self.board = board
        self.timers = Timers(self.now_ms, self.wake)
        self._clock = clock
        self._log = session_log
        self._slots = slots
        self._asking = Asking(board, agents, self.timers, self.now_ms, self.learn, self.capacity_changed)
        self._endings = Endings(session_log, rooms, agents, self.bus_ms, self.learn)
        self._is_leading = is_leading
        self._monotonic = monotonic
        self._acting = False
        self._running: set[str] = set()
        self._again: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._room_to_act = asyncio.Semaphore(_STEPS_AT_ONCE)
        self._admit_due: asyncio.TimerHandle | None = None

    def now_ms(self) -> int:
        """The log's time, ms."""
        return self._clock.now_ms(self._monotonic())

    def bus_ms(self) -> int:
        """The bus' clock as it is set now, Unix ms: for what is written, and for what other clocks stamped."""
        return self._clock.bus_ms(self.now_ms())

    def log_ms(self, stored_ms: int) -> int:
        """The log's time of what another stream has stamped."""
        return self._clock.log_ms(stored_ms, None, self._monotonic())

    @property
    def is_acting(self) -> bool:
        """Whether it may act: begun, not stopped, and the lease is ours."""
        return self._acting and self._is_leading()

    def begin(self) -> None:
        """Act from now on, beginning with every open session."""
        self._acting = True
        for session_id in self.board.ids():
            self.wake(session_id)

    async def stop(self) -> None:
        """Stop whatever is in hand; another leader repeats it."""
        self._acting = False
        if self._admit_due is not None:
            self._admit_due.cancel()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=1)

    def heard(self, record: Recorded) -> None:
        """A record of the log arrived."""
        event = record.event
        if isinstance(event, JobAssigned) and event.session_id not in self.board and self.is_acting:
            # Another leader's, written after `ended`: the log's compare-and-set is on each kind of event alone.
            self.beside(self._endings.stop_if_ended(event.session_id, event.epoch, event.node_id))
        self._note(record)

    def wake(self, session_id: str) -> None:
        """Decide about a session again; a moment later where the lease is not ours right now."""
        if not self._acting or session_id not in self.board:
            return
        if not self._is_leading():
            self.timers.set(session_id, self.now_ms() + _RETRY_MS)
            return
        if session_id in self._running:
            self._again.add(session_id)
            return
        self._running.add(session_id)
        self.beside(self._run(session_id))

    def sweep(self) -> None:
        """Wake every session that waits for nothing: no timer, no step under way.

        Each has one, but for a fault of this program; that must not leave an accepted session without its end.
        """
        for session_id in self.board.ids():
            if session_id not in self.timers and session_id not in self._running:
                self.wake(session_id)

    def learn(self, session_id: str, **known: Any) -> None:
        """Note facts about a session, and decide about it again."""
        self.board.learn(session_id, **known)
        self.wake(session_id)

    def capacity_changed(self) -> None:
        """Somebody who waits may begin now; looked at in a moment, once for many changes."""
        if self._acting and self.board.may_admit(self.now_ms()):
            self._admit_in(_ADMIT_S)

    def _admit_in(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        if self._admit_due is not None:
            if self._admit_due.when() <= loop.time() + seconds:
                return
            self._admit_due.cancel()
        self._admit_due = loop.call_later(seconds, self._admit)

    def stop_job(self, session_id: str, epoch: int, node_id: str, reason: str) -> None:
        """Tell a node to stop an epoch that was superseded; no step waits for the answer."""
        self.beside(self._endings.stop_job(session_id, epoch, node_id, reason))

    def _admit(self) -> None:
        self._admit_due = None
        self._admit_all()

    def _admit_all(self, running: str = "") -> None:
        now_ms = self.now_ms()
        for session_id in self.board.admit(now_ms):
            if session_id != running:
                self.wake(session_id)
        trial_ms = self.board.fleet.next_trial_ms() if self.board.waiting else None
        if trial_ms is not None:
            self._admit_in(max(_ADMIT_S, (trial_ms - now_ms) / 1000))

    def beside(self, work: Coroutine[Any, Any, None]) -> None:
        """Do this beside everything else, until the term ends."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("beside.bug", work=task.get_name(), exc_info=error)

    def _note(self, record: Recorded) -> None:
        session_id = self.board.record(record)
        if session_id is not None and self._acting:
            figures.count(self.board.placed(record), self.board.session(session_id))
            self.wake(session_id)

    async def _run(self, session_id: str) -> None:
        retry_ms: int | None = None
        try:
            async with self._room_to_act:
                with logs.bind_session(session_id):
                    more, outrun = True, 0
                    while (more or session_id in self._again) and self.is_acting:
                        self._again.discard(session_id)
                        try:
                            more = await self._step(session_id)
                        except Outrun as error:
                            outrun += 1
                            if outrun > _MOST_OUTRUNS:
                                raise Unavailable(f"outrun {outrun} times: {error}") from error
                            await self._read_back(session_id)
                            more = True
        except Unavailable as error:
            log.warning("step.postponed", session_id=session_id, reason=str(error))
            retry_ms = _RETRY_MS
        except Exception:
            log.exception("step.bug", session_id=session_id)
            retry_ms = _AFTER_A_BUG_MS
        finally:
            self._running.discard(session_id)
        if retry_ms is None and not self._is_leading():
            retry_ms = _RETRY_MS
        if retry_ms is not None and self._acting and session_id in self.board:
            self._again.discard(session_id)
            self.timers.set(session_id, self.now_ms() + retry_ms)
        elif session_id in self._again:
            self._again.discard(session_id)
            self.wake(session_id)

    async def _step(self, session_id: str) -> bool:
        """Decide once and do it; True when that changed something, so that there is more to decide.

        Raises:
            Outrun: Another wrote first.
        """
        session = self.board.session(session_id)
        if session is None:
            self.timers.set(session_id, None)
            return False
        now_ms = self.now_ms()
        facts = self.board.facts(session_id, now_ms)
        decided = d.decide(session, facts, now_ms, self.board.limits)
        self.timers.set(session_id, decided.wake_at_ms)
        changed = False
        for action in decided.actions:
            with telemetry.span(
                f"scheduler {type(action).__name__}",
                SpanKind.INTERNAL,
                parent=telemetry.extract(self.board.trace(session_id)),
                attributes={"session.id": session_id},
            ):
                changed |= await self._do(session, facts, action)
        return changed

    async def _do(self, session: Session, facts: Facts, action: d.Action) -> bool:
        session_id = session.session_id
        match action:
            case d.Place():
                return await (
                    self._place_first(session, facts) if session.current is None else self._place_next(session)
                )
            case d.Ask():
                self.board.learn(session_id, asked_epoch=action.epoch)
                self.beside(self._asking.ask(session, session.attempts[action.epoch], action))
            case d.StopSuperseded():
                self.board.learn(session_id, stop_sent_epoch=action.epoch)
                self.stop_job(session_id, action.epoch, action.node_id, Cause.SUPERSEDED)
            case d.CountFailure():
                self.board.learn(session_id, blamed_epoch=action.epoch)
                self._asking.suspend(action.node_id, action.failure)
            case d.StopAgent():
                tries = 1 + (facts.end_tries if facts.end_asked_epoch == action.epoch else 0)
                self.board.learn(
                    session_id,
                    end_asked_epoch=action.epoch,
                    end_asked_ms=self.now_ms(),
                    end_tries=tries,
                    speaking_epoch=action.epoch if action.say else 0,
                    verdict=action.verdict,
                )
                self.beside(self._endings.stop_agent(session_id, action))
            case d.Measure():
                self._learn_usage(session_id, await self._endings.measure(session_id))
            case d.End():
                self._note(await self._endings.end(session, facts, action.verdict))
            case d.ReleaseSlot():
                await self._slots.release(action.key, session_id)
                self.board.freed(action.key, session_id)
                self.capacity_changed()
            case d.DeleteRoom():
                # Once, and beside: what LiveKit does not do now, the reconciler repeats.
                self.board.learn(session_id, room_deleted=True)
                self.beside(self._endings.delete_room(session_id))
            case d.Remove():
                self.board.forget(session_id)
                self.timers.set(session_id, None)
                self.capacity_changed()
                return False
        return True

    async def _place_first(self, session: Session, facts: Facts) -> bool:
        session_id = session.session_id
        reserved = self.board.reservation(session_id)
        if reserved is None:
            if not self.board.wait(session_id):
                self.board.learn(session_id, refusal=EndReason.QUEUE_FULL)
                return True
            self._admit_all(running=session_id)
            reserved = self.board.reservation(session_id)
        if reserved is None:
            return await self._announce(session)
        try:
            await self._take(reserved.slot, session_id)
            self.board.took(reserved.slot, session_id)
            latest = self.board.session(session_id)
            if latest is None or latest.end_asked or latest.has_ended:
                self.board.release(session_id)
                return True
            assigned = JobAssigned(
                session_id=session_id,
                time=self._time(),
                epoch=1,
                node_id=reserved.node_id,
                served_ms_before=0,
                billable_ms_before=0,
                granted_minutes=session.granted_minutes,
            )
            self._note(await self._log.append(assigned, expect_last=0))
            self.board.began(session_id)
        except (Outrun, Unavailable):
            self.board.release(session_id)
            raise
        log.info("job.assigned", session_id=session_id, node_id=reserved.node_id, epoch=1, slot=reserved.slot)
        return True

    async def _take(self, key: int, session_id: str) -> None:
        try:
            await self._slots.take(key, Slot(session_id=session_id, taken_at=self._time()))
        except Outrun:
            self.board.release(session_id)
            self.board.contested(key, self.now_ms())
            raise

    async def _place_next(self, session: Session) -> bool:
        """The next epoch: another node where there is one, and none that failed this session a moment ago.

        A session whose grant is used up gets none: what was measured here ends it.
        """
        session_id, current = session.session_id, session.current
        assert current is not None
        now_ms = self.now_ms()
        tried = {a.node_id for a in session.attempts.values()}
        pause_ms = self.board.limits.retry_pause_ms
        failed = (a for a in session.attempts.values() if a.epoch not in session.ready_ms)
        resting = {a.node_id for a in failed if now_ms - a.at_ms < pause_ms}
        try:
            node = self.board.fleet.choose(region=region_of(session), tried=tried, resting=resting, now_ms=now_ms)
        except NoPlace as none:
            # Both only mean that the session pauses between two attempts.
            if none.reason not in (EndReason.NO_OTHER_NODE, EndReason.NODES_FAILING):
                self.board.learn(session_id, blocked=none.reason)
            return False
        self.board.learn(session_id, blocked=None)
        served_ms = billable_ms = 0
        if session.ready_ms:
            metered = await self._endings.measure(session_id)
            served_ms, billable_ms = sum(e.served_ms for e in metered.epochs), metered.billable_ms
            if is_spent(billable_ms, session.granted_minutes):
                self._learn_usage(session_id, metered)
                return True
        assigned = JobAssigned(
            session_id=session_id,
            time=self._time(),
            epoch=current.epoch + 1,
            node_id=node.node_id,
            served_ms_before=served_ms,
            billable_ms_before=billable_ms,
            granted_minutes=session.granted_minutes,
        )
        self._note(await self._log.append(assigned, expect_last=current.seq))
        log.info("job.reassigned", session_id=session_id, node_id=node.node_id, epoch=current.epoch + 1)
        return True

    def _learn_usage(self, session_id: str, metered: Metered) -> None:
        self.board.learn(session_id, billable_ms=metered.billable_ms, measured_ms=self.now_ms())

    async def _announce(self, session: Session) -> bool:
        if session.queued:
            return False
        position = self.board.position(session.session_id)
        facts = self.board.facts(session.session_id, self.now_ms())
        deadline = _datetime(self._clock.bus_ms(queue_deadline_ms(session, facts, self.board.limits)))
        queued = SessionQueued(
            session_id=session.session_id, time=self._time(), position=position, deadline_at=deadline
        )
        self._note(await self._log.append(queued))
        log.info("session.queued", session_id=session.session_id, position=position, reason=self.board.blocked)
        return True

    async def _read_back(self, session_id: str) -> None:
        """Somebody else wrote first: what stands in the log and the bucket is what counts."""
        mark = self.board.mark()
        held = await self._slots.held()
        self.board.holds({key: entry.session_id for key, entry in held.items()}, mark)
        for record in await self._log.history(session_id):
            self._note(record)

    def _time(self) -> datetime:
        return _datetime(self.bus_ms())


def _datetime(unix_ms: int) -> datetime:
    return datetime.fromtimestamp(unix_ms / 1000, UTC)
