"""One job on this node: from the assignment to `agent_stopped`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from contracts.causes import Cause, provider_failed
from contracts.commands import AssignJob, JobDescribed
from contracts.deadlines import FENCE_S
from contracts.ids import agent_identity, caller_identity

from agent_runner.domain.credit import Credit, CreditWarning
from agent_runner.domain.fault_time import FaultTime
from agent_runner.domain.history import BRIDGE_LINE, conversation, encode_newest
from agent_runner.domain.link import (
    MAX_HISTORY_BYTES,
    Beat,
    Caller,
    End,
    Ending,
    Failed,
    Faulty,
    Go,
    Heard,
    Joined,
    Ready,
    Recovered,
    Rejoin,
    Removed,
    Speak,
    Stopped,
    ToSupervisor,
    Turn,
    Unfinished,
)
from agent_runner.domain.served_time import ServedTime
from agent_runner.domain.stages import spans
from agent_runner.ports import CallLogs, LogUnavailable, Outboxes, SessionLog, WorkerProcess
from agent_runner.supervisor import meters
from agent_runner.supervisor.pool import NoWorker, Pool, Taken
from agent_runner.supervisor.report import Report
from chassis import logs, telemetry

_HISTORY_S: Final = 2.0
_NS_A_MS: Final = 1_000_000
_EXIT_S: Final = 2.0  # from a worker's last word to its exit

log = logs.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class CallLimits:
    """Seconds, as the settings have them.

    Attributes:
        start_s: From the assignment to a worker.
        join_s: From `Go` to `Joined`.
        joining_silence_s: Without a word from a worker that is not in the room yet: it is stalled. The first connection
            loads native code, and other starts compete for the processors.
        silence_s: The same for a worker in the room, whose silence the caller hears.
        kill_s: From the decision to end to SIGKILL.
        lifetime_s: From the assignment to the end, whatever happens.
        tick_s: Between two ticks.
    """

    start_s: float
    join_s: float
    joining_silence_s: float
    silence_s: float
    kill_s: float
    lifetime_s: float
    tick_s: float


@dataclass(frozen=True, slots=True)
class World:
    """What every call of a node works with.

    Attributes:
        farewell: What an agent says that only has to say that the call cannot go on; SIGHUP may change it.
        warning: What it says before the session's limit of minutes; SIGHUP may change it.
        clock: Monotonic seconds.
    """

    node_id: str
    log_dir: Path
    pool: Pool
    outboxes: Outboxes
    session_log: SessionLog
    call_logs: CallLogs
    limits: CallLimits
    farewell: Callable[[], str]
    warning: Callable[[], CreditWarning] = CreditWarning
    clock: Callable[[], float] = time.monotonic


class Call:
    """A job and its worker. It has its slot from the beginning until the process is gone."""

    def __init__(
        self, job: AssignJob, world: World, on_over: Callable[[Call], None], *, waiting: WorkerProcess | None = None
    ) -> None:
        """Nothing runs before `begin`, which is to follow at once.

        Args:
            on_over: Called once, when the process is gone and `agent_stopped` is on its way.
            waiting: The worker that is in the job's room already.
        """
        self.session_id = job.session_id
        self.epoch = job.epoch
        self.over = asyncio.Event()
        self.served = ServedTime()
        self._faults = FaultTime()
        before_ms = job.served_ms_before if job.billable_ms_before is None else job.billable_ms_before
        self._credit = Credit(None if job.farewell else job.granted_minutes, before_ms)
        self._has_warned = False
        self._job = job
        self._world = world
        self._on_over = on_over
        self._log_file = world.log_dir / f"{job.session_id}.log"
        self._process: WorkerProcess | None = None
        self._waiting = waiting
        self._has_worker = asyncio.Event()
        self._cause: str | None = None
        self._stopped: Stopped | None = None
        self._failed_provider: str | None = None
        self._unfinished: Turn | None = None
        self._silent_s = 0.0
        self._began = world.clock()
        self._began_ns = time.time_ns()
        self._trace = telemetry.extract(telemetry.inject())
        self._went: float | None = None  # when `Go` was sent
        self._stage_ms: dict[str, int] = {}
        self._joined = False
        self._ticked_at = 0.0
        self._timers: list[asyncio.TimerHandle] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._report = Report(job.session_id, job.epoch, world.outboxes.open(job.session_id, job.epoch))
        self._log = log.bind(session_id=job.session_id, epoch=job.epoch, **logs.trace_ids())

    @property
    def pid(self) -> int:
        """The worker's process; 0 while there is none."""
        return 0 if self._process is None else self._process.pid

    @property
    def fault_ms(self) -> int:
        """The part of the served time in which a provider failed."""
        return self._faults.total_ms(self.served.served_ms)

    @property
    def is_ending(self) -> bool:
        """Its end is decided."""
        return self._cause is not None

    def begin(self) -> None:
        """Claim the slot and start."""
        self._spawn(self._start())  # before the pool wakes up, which would find one idle worker too many
        self._world.pool.claim()
        self._world.call_logs.follow(self.session_id, self._log_file)
        if self._waiting is not None:
            self._adopt(Taken(self._waiting, "prejoined", 0))

    async def has_worker(self, timeout_s: float) -> None:
        """Wait until a worker took the job, the job is over, or the time has passed."""
        waits = [asyncio.ensure_future(self._has_worker.wait()), asyncio.ensure_future(self.over.wait())]
        await asyncio.wait(waits, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()

    async def reported(self, deadline_s: float) -> bool:
        """Whether all its events are in the log by the deadline."""
        return await self._report.is_in_log(deadline_s)

    async def tell_served(self, deadline_s: float) -> None:
        """Put the served time into the log before `agent_stopped`, which waits for the process."""
        self._report.tick(self.served.served_ms, self.fault_ms)
        await self._report.is_in_log(deadline_s)

    async def describe(self, deadline_s: float) -> JobDescribed | None:
        """Report everything again and say what the job is; None: the log did not take it by the deadline."""
        self._report.again(self.served.served_ms, self.fault_ms)
        if not await self._report.is_in_log(deadline_s):
            return None
        job = self._job
        return JobDescribed(
            user_name=job.user_name,
            user_id=job.user_id,
            voice_id=job.voice_id,
            opening_line=job.opening_line,
            system_prompt=job.system_prompt,
            tools=job.tools,
            served_ms_before=job.served_ms_before,
            billable_ms_before=job.billable_ms_before,
            granted_minutes=job.granted_minutes,
            age_ms=round((self._world.clock() - self._began) * 1000),
        )

    def end(self, cause: str, *, say: str | None = None) -> None:
        """Decide the end: the served time is fixed at this instant. The first decision stands.

        The scheduler's next one, with nothing to say, cuts the last sentence of the first.

        A superseded worker is killed: another agent has its identity by now, and a worker that was frozen or cut off
        would, to leave in order, first resume its connection to LiveKit, which puts the successor out for seconds.

        Args:
            say: A last sentence; the worker speaks it before it goes.
        """
        if self.over.is_set():
            return
        if self.is_ending:
            if cause == Cause.ENDED and say is None and self._process is not None:
                self._process.send(End(how="cancel"))
            return
        self._cause = cause
        superseded = cause == Cause.SUPERSEDED
        self.served = self.served.fix_as_seen() if superseded else self.served.fix(self._world.clock())
        self._log.info("job.ending", cause=cause, served_ms=self.served.served_ms)
        if self._process is None:
            for task in self._tasks:
                task.cancel()
            self._finish()
            return
        if superseded:
            self._process.kill()
            return
        self._process.send(End(how="cancel" if say is None else "say", text=say))
        self._later(self._world.limits.kill_s, self._process.kill)

    def look(self, silence_s: float) -> None:
        """Count silence and time; called a few times a second."""
        now, limits = self._world.clock(), self._world.limits
        if self.over.is_set() or self.is_ending:
            return
        if now - self._began >= limits.lifetime_s:
            self.end(Cause.SESSION_TIMEOUT)
            return
        self._look_after_credit(now)
        if self.is_ending:
            return
        if self._process is None or self._went is None or self._stopped is not None:
            return
        self._silent_s += silence_s
        if self._silent_s >= (limits.silence_s if self._joined else limits.joining_silence_s):
            self._abandon(Cause.STALLED)
        elif not self._joined and now - self._went >= limits.join_s:
            self._abandon(Cause.JOIN_FAILED)
        elif now - self._ticked_at >= limits.tick_s:
            self._ticked_at = now
            self._report.tick(self.served.served_ms, self.fault_ms)

    def _look_after_credit(self, now: float) -> None:
        """Warn the caller before the session's grant is used up, and end the call as it is."""
        warning = self._world.warning()
        served_ms = self.served.observe(now).served_ms
        billable_ms = max(0, served_ms - self._faults.total_ms(served_ms))
        match self._credit.due(billable_ms, warning):
            case "end":
                self.end(Cause.CREDIT_SPENT)
            case "warning" if self._process is not None and self.served.both and not self._has_warned:
                if not self._faults.failing:  # it would not be heard, and the clock stands still
                    self._has_warned = True
                    self._process.send(Speak(text=warning.text, patience_s=self._credit.patience_s(billable_ms)))
                    self._log.info("job.credit_warning", left_ms=self._credit.left_ms(billable_ms))
            case _:
                pass

    def fence(self, last_epoch: int | None) -> None:
        """The log's last assigned epoch: a newer one ends this call."""
        if last_epoch is not None and last_epoch > self.epoch:
            self.end(Cause.SUPERSEDED)

    def on_message(self, message: ToSupervisor) -> None:
        """What the worker says."""
        self._silent_s = 0.0
        now = self._world.clock()
        match message:
            case Beat():
                self._observe(now, caller=message.caller_in_room)
            case Caller():
                self._observe(now, caller=message.in_room)
            case Joined():
                self._on_joined(message)  # first: `agent_ready` comes before `started`
                self._observe(now, agent=True)
            case Heard():
                self._on_heard(message)
            case Turn():
                self._unfinished = None
                self._report.turn(message)
            case Unfinished():
                self._unfinished = message.turn
            case Ending():
                self._later(self._world.limits.kill_s, self._kill)
            case Faulty() | Recovered():
                self._observe(now)
                self._on_fault(message)
            case Failed():
                self._failed_provider = message.provider
                meters.PROVIDER_FAILURES.labels(message.provider).inc()
                self._log.error("job.provider_failed", provider=message.provider, detail=message.detail)
            case Removed():
                self._observe(now, agent=False)
                self._on_removed(message)
            case Stopped():
                self._observe(now, agent=False)
                self._stopped = message
                if message.detail:
                    self._log.warning("job.worker_stopped", cause=message.cause, detail=message.detail)
                self._later(_EXIT_S, self._kill)
            case Ready():
                pass

    def on_gone(self) -> None:
        """The process is over."""
        if self._cause is None:
            self._cause = _cause_of(self._stopped, self._failed_provider)
            if self._stopped is None:
                self.served = self.served.fix_as_seen()
                self._log.error("job.worker_died", pid=self.pid)
        self._finish()

    async def _start(self) -> None:
        reading = asyncio.ensure_future(self._history()) if self._job.takeover else None
        try:
            if self._process is None:
                self._adopt(await self._world.pool.take(self._world.limits.start_s))
            history = await reading if reading is not None else None
        except NoWorker as error:
            self._log.error("job.no_worker", error=str(error))
            self.end(Cause.START_FAILED)
            return
        finally:
            if reading is not None:
                reading.cancel()
        if self._process is not None and not self.is_ending and not self._process.is_gone:
            self._go(self._process, history)

    def _adopt(self, taken: Taken) -> None:
        self._process = taken.process
        taken.process.listener = self
        self._stage_ms["pool_wait"] = taken.waited_ms
        self._has_worker.set()
        meters.STARTS.labels(taken.path).inc()
        self._log.info("job.worker_taken", pid=taken.process.pid, path=taken.path, waited_ms=taken.waited_ms)

    def _go(self, process: WorkerProcess, history: bytes | None) -> None:
        job = self._job
        self._went = self._world.clock()
        self._stage_ms["go"] = round((self._went - self._began) * 1000)
        process.send(
            Go(
                session_id=job.session_id,
                epoch=job.epoch,
                url=job.url,
                token=job.token,
                system_prompt=job.system_prompt,
                tools=job.tools,
                voice_id=job.voice_id,
                caller_identity=caller_identity(job.session_id),
                agent_identity=agent_identity(job.session_id),
                opening_line=None if job.takeover or job.farewell else job.opening_line,
                bridge=BRIDGE_LINE if job.takeover and not job.farewell else None,
                has_history=history is not None,
                traceparent=telemetry.inject().get("traceparent"),
                log_file=str(self._log_file),
            ),
            history=history,
        )

    async def _history(self) -> bytes | None:
        """The conversation of the earlier epochs; without the log the call goes on without its past."""
        try:
            events = await self._world.session_log.history(self.session_id, deadline_s=_HISTORY_S)
        except LogUnavailable as error:
            self._log.error("job.history_unavailable", error=str(error))
            return None
        return encode_newest(conversation(events), MAX_HISTORY_BYTES)

    def _observe(self, now: float, *, agent: bool | None = None, caller: bool | None = None) -> None:
        self.served = self.served.observe(now, agent=agent, caller=caller)
        if self.served.both and not self.served.fixed:
            self._report.started()

    def _on_fault(self, message: Faulty | Recovered) -> None:
        if self.served.fixed:
            return
        served_ms = self.served.served_ms
        if isinstance(message, Recovered):
            self._faults = self._faults.recover(message.provider, served_ms)
        else:
            self._faults = self._faults.fail(message.provider, served_ms, ago_ms=message.ago_ms)
        self._log.info("job.provider", provider=message.provider, state=message.kind, fault_ms=self.fault_ms)

    def _on_joined(self, message: Joined) -> None:
        if self._joined:  # again, after Rejoin
            return
        self._joined = True
        self._ticked_at = self._world.clock()
        self._stage_ms |= {stage: self._stage_ms["go"] + ms for stage, ms in message.stage_ms.items()}
        self._stage_ms["joined"] = round((self._ticked_at - self._began) * 1000)
        self._log.info("job.joined", pid=self.pid, stage_ms=self._stage_ms)
        self._report.ready(
            node_id=self._world.node_id, pid=self.pid, log_file=str(self._log_file), stage_ms=dict(self._stage_ms)
        )
        if self._job.farewell:
            self.end(Cause.FAREWELL, say=self._world.farewell())

    def _on_heard(self, message: Heard) -> None:
        self._stage_ms |= {stage: self._stage_ms["go"] + ms for stage, ms in message.stage_ms.items()}
        self._stage_ms["heard"] = round((self._world.clock() - self._began) * 1000)
        self._report.heard(dict(self._stage_ms))
        self._log.info("job.heard", stage_ms=self._stage_ms)
        self._trace_stages()

    def _trace_stages(self) -> None:
        """One span a stage, below the assignment's."""
        for stage, (begin_ms, end_ms) in spans(self._stage_ms).items():
            telemetry.past_span(
                f"agent {meters.bounded(stage)}",
                parent=self._trace,
                begin_ns=self._began_ns + begin_ms * _NS_A_MS,
                end_ns=self._began_ns + end_ms * _NS_A_MS,
                attributes={"session.id": self.session_id},
            )

    def _on_removed(self, message: Removed) -> None:
        self._log.warning("job.removed", duplicate=message.duplicate, reason=message.reason)
        if message.duplicate and not self.is_ending:
            self._spawn(self._rejoin_or_end())
        else:
            self.end(Cause.REMOVED)

    async def _rejoin_or_end(self) -> None:
        """Another agent took our identity: only the last assigned epoch may take it back."""
        try:
            last = await self._world.session_log.last_epoch(self.session_id, deadline_s=FENCE_S)
        except LogUnavailable:
            last = None
        if last == self.epoch and self._process is not None and not self.is_ending:
            self._process.send(Rejoin())
        else:
            self.end(Cause.SUPERSEDED if last is not None and last > self.epoch else Cause.REMOVED)

    def _abandon(self, cause: Cause) -> None:
        """The worker does not do its work and cannot be asked to: what it did since its last word does not count."""
        self._cause = cause
        self.served = self.served.fix_as_seen()
        self._log.error("job.killed", cause=cause, pid=self.pid, silent_s=round(self._silent_s, 2))
        self._kill()

    def _finish(self) -> None:
        for timer in self._timers:
            timer.cancel()
        cause = str(self._cause or Cause.CRASHED)
        if self._unfinished is not None and self._stopped is None and cause != Cause.SUPERSEDED:
            self._report.turn(self._unfinished)  # its successor knows what was being talked about
        served_ms, fault_ms = self.served.served_ms, self.fault_ms
        self._log.info("job.over", cause=cause, pid=self.pid, served_ms=served_ms, fault_ms=fault_ms)
        self._report.stopped(cause, served_ms, fault_ms)
        self._world.call_logs.leave(self.session_id)
        self._world.pool.release()
        self.over.set()
        self._on_over(self)

    def _kill(self) -> None:
        if self._process is not None:
            self._process.kill()

    def _later(self, delay_s: float, action: Callable[[], None]) -> None:
        self._timers.append(asyncio.get_running_loop().call_later(delay_s, action))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._forget)

    def _forget(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._log.error("job.bug", exc_info=error)
            self.end(Cause.FAILED)


def _cause_of(stopped: Stopped | None, failed_provider: str | None) -> str:
    """The worker's own word for it; a death without a word is a crash."""
    if stopped is None:
        return Cause.CRASHED
    return provider_failed(failed_provider) if stopped.cause is Cause.PROVIDER_FAILED else stopped.cause
