"""Runs one job: feeds `domain.call` with events and performs its effects."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from agent_runner.domain.call import CallLimits, step
from agent_runner.domain.call_events import (
    AskLastEpoch,
    CallEffect,
    CallEvent,
    Died,
    EndAsked,
    Kill,
    LastEpoch,
    Log,
    Looked,
    NoWorkerInTime,
    Past,
    Prepared,
    Release,
    Said,
    Send,
    SendGo,
    WorkerTaken,
)
from agent_runner.domain.call_state import Assignment, CallState
from agent_runner.domain.credit import Credit
from agent_runner.domain.history import past
from agent_runner.domain.lines import opening_of
from agent_runner.link.messages import MAX_HISTORY_BYTES, Failed, Go, ToSupervisor, Unanswered
from agent_runner.ports import CallLogs, LogUnavailable, Outboxes, SessionLog, WorkerProcess
from agent_runner.supervisor import meters
from agent_runner.supervisor.pool import NoWorker, Pool, Taken
from agent_runner.supervisor.report import Report
from chassis import logs, telemetry
from chassis.tasks import Tasks, first_of
from chassis.words import opened
from contracts.causes import Cause
from contracts.commands import AssignJob, JobDescribed
from contracts.deadlines import FENCE_S
from contracts.ids import agent_identity, caller_identity

_HISTORY_S: Final = 2.0

log = logs.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class World:
    """The objects that all calls of a node share.

    Attributes:
        limits: Of a session's language; SIGHUP may change them.
        clock: Monotonic seconds.
    """

    node_id: str
    log_dir: Path
    pool: Pool
    outboxes: Outboxes
    session_log: SessionLog
    call_logs: CallLogs
    limits: Callable[[str | None], CallLimits]
    clock: Callable[[], float] = time.monotonic

    def log_file(self, session_id: str) -> Path:
        return self.log_dir / f"{session_id}.log"


class Call:
    """A job and its worker; it holds its slot from `begin` until the process is gone."""

    def __init__(self, job: AssignJob, world: World, on_end: "Callable[[Call], None]") -> None:
        """`on_end`: called once, when the process is gone and `agent_stopped` is in the outbox."""
        before_ms = job.served_ms_before if job.billable_ms_before is None else job.billable_ms_before
        credit = Credit(None if job.farewell else job.granted_minutes, before_ms)
        self.job = job
        self.state = CallState(Assignment(job.epoch, world.clock(), credit, farewell=job.farewell))
        self.ended = asyncio.Event()
        self._world = world
        self._on_end = on_end
        self._process: WorkerProcess | None = None
        self._has_worker = asyncio.Event()
        self._starting: asyncio.Task[None] | None = None
        self._kills: list[asyncio.TimerHandle] = []
        self._tasks = Tasks(on_failure=lambda _name, _error: self.end(Cause.FAILED))
        self._report = Report(job, world.node_id, str(world.log_file(job.session_id)), world.outboxes)
        self._log = log.bind(session_id=job.session_id, epoch=job.epoch, **logs.trace_ids())

    @property
    def _limits(self) -> CallLimits:
        return self._world.limits(self.job.language)

    def begin(self, waiting: WorkerProcess | None = None) -> None:
        """Take the slot and start.

        Args:
            waiting: The worker that is in the job's room already.
        """
        # Before the pool wakes up: it would find one idle worker too many.
        self._starting = self._tasks.spawn(self._start(), name=f"start of {self.job.session_id}")
        self._world.pool.change_slots(jobs=1)
        self._world.call_logs.follow(self.job.session_id, self._world.log_file(self.job.session_id))
        if waiting is not None:
            self._adopt(Taken(waiting, "prejoined", 0))

    async def has_worker(self, timeout_s: float) -> None:
        """Wait until the job has a worker or has ended, at most `timeout_s`."""
        await first_of(self._has_worker.wait(), self.ended.wait(), timeout_s=timeout_s)

    def end(self, cause: str, *, say: str | None = None) -> None:
        """Decide the end, which fixes the served time; the first decision stands.

        Args:
            say: A last sentence of the agent.
        """
        self._feed(EndAsked(cause, say))

    def look(self, silence_s: float) -> None:
        """Count silence and time; called a few times a second."""
        self._feed(Looked(silence_s))

    def fence(self, last_epoch: int | None) -> None:
        """End the call if `last_epoch`, the last that the log has assigned, is newer."""
        self._feed(LastEpoch(last_epoch))

    def on_message(self, message: ToSupervisor) -> None:
        if isinstance(message, Failed):
            meters.PROVIDER_FAILURES.labels(message.provider).inc()
        elif isinstance(message, Unanswered):
            meters.ANSWERS_FAILED.inc()
        self._feed(Said(message))

    def on_gone(self) -> None:
        self._feed(Died())

    async def reported(self, deadline_s: float) -> bool:
        """Wait until the log has all events of the job; False: the deadline passed first."""
        return await self._report.is_in_log(deadline_s)

    async def tell_served(self, deadline_s: float) -> None:
        """Report the served time now: `agent_stopped` waits for the process."""
        self._report.tick(self.state.served_ms, self.state.fault_ms)
        await self._report.is_in_log(deadline_s)

    async def describe(self, deadline_s: float) -> JobDescribed | None:
        """Report everything again and describe the job; None: the log did not take it by the deadline."""
        self._report.again(self.state.served_ms, self.state.fault_ms)
        if not await self._report.is_in_log(deadline_s):
            return None
        shared = JobDescribed.model_fields.keys() & AssignJob.model_fields.keys()
        age_ms = round((self._world.clock() - self.state.job.began) * 1000)
        return JobDescribed(**{name: getattr(self.job, name) for name in shared}, age_ms=age_ms)

    async def _start(self) -> None:
        reading = asyncio.ensure_future(self._history()) if self.job.takeover else None
        try:
            if self._process is None:
                self._adopt(await self._world.pool.take(self._limits.start_s))
            self._feed(Prepared(None if reading is None else await reading))
        except NoWorker as error:
            self._feed(NoWorkerInTime(str(error)))
        finally:
            if reading is not None:
                reading.cancel()

    def _adopt(self, taken: Taken) -> None:
        self._process = taken.process
        taken.process.listener = self
        self._feed(WorkerTaken(taken.process.pid, taken.path, taken.waited_ms))
        self._has_worker.set()
        meters.STARTS.labels(taken.path).inc()

    async def _history(self) -> Past | None:
        """The conversation of the earlier epochs; if the log is unavailable, the call goes on without it."""
        try:
            events = await self._world.session_log.history(self.job.session_id, deadline_s=_HISTORY_S)
        except LogUnavailable as error:
            self._log.error("job.history_unavailable", error=str(error))
            return None
        return past([opened(event, self.job.words_key) for event in events], MAX_HISTORY_BYTES)

    async def _ask_last_epoch(self) -> None:
        try:
            last = await self._world.session_log.last_epoch(self.job.session_id, deadline_s=FENCE_S)
        except LogUnavailable:
            last = None
        self._feed(LastEpoch(last, removed=True))

    def _feed(self, event: CallEvent) -> None:
        self.state, effects = step(self.state, event, self._world.clock(), self._limits)
        for effect in effects:
            self._perform(effect, self._process)

    def _perform(self, effect: CallEffect, process: WorkerProcess | None) -> None:
        match effect:
            case Log():
                getattr(self._log, effect.level)(effect.event, **effect.fields)
            case Send() if process is not None:
                process.send(effect.message)
            case SendGo() if process is not None:
                process.send(self._go(effect.past), history=effect.past and effect.past.history)
            case Kill() if process is not None and not effect.after_s:
                process.kill()
            case Kill() if process is not None:
                self._kills.append(asyncio.get_running_loop().call_later(effect.after_s, process.kill))
            case AskLastEpoch():
                self._tasks.spawn(self._ask_last_epoch())
            case Release():
                self._release()
            case Send() | SendGo() | Kill():
                pass
            case _:
                self._report.tell(effect)

    def _release(self) -> None:
        for kill in self._kills:
            kill.cancel()
        if self._starting is not None:
            self._starting.cancel()
        self._world.call_logs.leave(self.job.session_id)
        self._world.pool.change_slots(jobs=-1)
        self.ended.set()
        self._on_end(self)

    def _go(self, past: Past | None) -> Go:
        job = self.job
        has_bridge = job.takeover and not job.farewell
        is_asked = has_bridge and past is not None and past.is_asked
        opening = opening_of(job.opening_line, default=self._limits.opening, user_name=job.user_name)
        bridge = self._limits.bridge_to_answer if is_asked else self._limits.bridge
        return Go(
            session_id=job.session_id,
            epoch=job.epoch,
            url=job.url,
            token=job.token,
            system_prompt=job.system_prompt,
            tools=job.tools,
            voice_id=job.voice_id,
            caller_identity=caller_identity(job.session_id),
            agent_identity=agent_identity(job.session_id),
            opening_line=None if job.takeover or job.farewell else opening,
            bridge=bridge if has_bridge else None,
            language=job.language,
            end_call=job.end_call,
            interruptible=job.interruptible,
            has_history=past is not None,
            is_asked=is_asked,
            questions_before=past.questions if past else 0,
            open_calls=dict(past.open_calls) if past else {},
            traceparent=telemetry.inject().get("traceparent"),
            log_file=str(self._world.log_file(job.session_id)),
        )
