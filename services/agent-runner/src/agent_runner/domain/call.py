"""One job on this node, from its assignment to `agent_stopped`: a frozen state and the step that each event takes."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final, TypeAlias

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
    Prepared,
    Release,
    Said,
    Send,
    SendGo,
    TellHeard,
    TellReady,
    TellStarted,
    TellStopped,
    TellTick,
    TellTool,
    TellTurn,
    WorkerTaken,
)
from agent_runner.domain.credit import Credit, CreditWarning
from agent_runner.domain.fault_report import FaultReport
from agent_runner.domain.fault_time import FaultTime
from agent_runner.domain.served_time import ServedTime
from agent_runner.domain.turn_budget import over_budget
from agent_runner.link.messages import (
    Beat,
    Caller,
    End,
    Ending,
    Failed,
    Faulty,
    Heard,
    Joined,
    Ready,
    Recovered,
    Rejoin,
    Removed,
    Speak,
    Stopped,
    ToolCall,
    ToSupervisor,
    Turn,
    Unanswered,
    Unfinished,
)
from contracts.causes import Cause, provider_failed
from contracts.deadlines import LAST_WORDS_S

EXIT_S: Final = 2.0
"""From a worker's last message to SIGKILL."""


@dataclass(frozen=True, slots=True)
class CallLimits:
    """The settings of a call; times in seconds.

    Attributes:
        start_s: From the assignment to a worker.
        join_s: From `Go` to `Joined`.
        joining_silence_s: Silence after which a worker that has not joined yet is stalled. Its first connection loads
            native code, and other starts compete for the processors.
        silence_s: The same for a worker in the room, whose silence the caller hears.
        kill_s: From the decision to end to SIGKILL.
        lifetime_s: Longest time from the assignment to the end.
        tick_s: Between two ticks.
        bridge: The first words of an agent that takes over.
        bridge_to_answer: The same, if it then answers a question that was left open.
        farewell: The sentence of an agent that only tells the caller that the call cannot go on.
        warning: The sentence before the session's limit of minutes.
        turn_budget_ms: Longest time from the end of the caller's speech to the answer's first audio.
    """

    start_s: float
    join_s: float
    joining_silence_s: float
    silence_s: float
    kill_s: float
    lifetime_s: float
    tick_s: float
    bridge: str
    bridge_to_answer: str
    farewell: str
    warning: CreditWarning
    turn_budget_ms: int


@dataclass(frozen=True, slots=True)
class CallState:
    """One job. All instants are seconds of one monotonic clock.

    Attributes:
        began: When the job was assigned.
        farewell: The agent only tells the caller that the call cannot go on.
        pid: The worker's process; 0: the job waits for a worker.
        went: When `Go` was sent.
        has_joined: The agent has been in the room.
        has_started: Caller and agent have been in the room together.
        has_warned: The warning before the session's limit was sent.
        silent_s: The worker's silence, without the supervisor's own pauses.
        stage_ms: When each stage of the start ended, in ms since the assignment.
        unfinished: The turn in progress.
        failed_provider: The last provider that the worker reported as unusable.
        stopped: The worker's last message.
        cause: Why the call ends; None: its end is not decided.
        is_over: The process is gone, or there never was one, and `agent_stopped` was reported.
    """

    epoch: int
    began: float
    credit: Credit
    farewell: bool = False
    served: ServedTime = field(default_factory=ServedTime)
    faults: FaultTime = field(default_factory=FaultTime)
    fault_report: FaultReport = field(default_factory=FaultReport)
    pid: int = 0
    went: float | None = None
    has_joined: bool = False
    has_started: bool = False
    has_warned: bool = False
    silent_s: float = 0.0
    ticked_at: float = 0.0
    stage_ms: Mapping[str, int] = field(default_factory=dict[str, int])
    unfinished: Turn | None = None
    failed_provider: str | None = None
    stopped: Stopped | None = None
    cause: str | None = None
    is_over: bool = False

    @property
    def served_ms(self) -> int:
        return self.served.served_ms

    @property
    def fault_ms(self) -> int:
        """The part of the served time in which a provider failed."""
        return self.faults.total_ms(self.served.served_ms)


Next: TypeAlias = tuple[CallState, tuple[CallEffect, ...]]


def step(state: CallState, event: CallEvent, now: float, limits: CallLimits) -> Next:
    """Decide the job's next state, and the effects in the order in which they are performed."""
    if state.is_over:
        return state, ()
    match event:
        case WorkerTaken():
            fields = {"pid": event.pid, "path": event.path, "waited_ms": event.waited_ms}
            stages = {**state.stage_ms, "pool_wait": event.waited_ms}
            return replace(state, pid=event.pid, stage_ms=stages), (Log("job.worker_taken", fields),)
        case Prepared():
            if state.cause is not None:
                return state, ()
            stages = {**state.stage_ms, "go": _ms_since(state.began, now)}
            return replace(state, went=now, stage_ms=stages), (SendGo(event.past),)
        case NoWorkerInTime():
            state, effects = _end(state, Cause.START_FAILED, None, now, limits)
            return state, (Log("job.no_worker", {"error": event.reason}, "error"), *effects)
        case Said():
            return _said(replace(state, silent_s=0.0), event.message, now, limits)
        case Looked():
            return _looked(state, event.silence_s, now, limits)
        case EndAsked():
            return _end(state, event.cause, event.say, now, limits)
        case LastEpoch():
            return _judge_epoch(state, event, now, limits)
        case Died():
            return _died(state)


def _said(state: CallState, message: ToSupervisor, now: float, limits: CallLimits) -> Next:
    match message:
        case Beat():
            return _observe(state, now, caller=message.caller_in_room)
        case Caller():
            return _observe(state, now, caller=message.in_room)
        case Joined():
            state, first = _joined(state, message, now, limits)  # `agent_ready` comes before `started`
            state, then = _observe(state, now, agent=True)
            return state, (*first, *then)
        case Heard():
            stages = {**_with_stages(state, message.stage_ms), "heard": _ms_since(state.began, now)}
            return replace(state, stage_ms=stages), (TellHeard(stages), Log("job.heard", {"stage_ms": stages}))
        case Turn():
            return replace(state, unfinished=None), _turn_effects(message, limits.turn_budget_ms)
        case Unfinished():
            return replace(state, unfinished=message.turn), ()
        case ToolCall():
            return state, (TellTool(message),)
        case Ending(words_s=words_s):
            return state, (Kill(limits.kill_s + max(0.0, words_s - LAST_WORDS_S)),)
        case Faulty() | Recovered():
            return _fault(state, message, now)
        case Failed():
            fields = {"provider": message.provider, "error": message.name}
            report, told = state.fault_report.unusable(message.provider, message.name)
            state = replace(state, failed_provider=message.provider, fault_report=report)
            return state, (Log("job.provider_failed", fields, "error"), *told)
        case Unanswered():
            report, told = state.fault_report.unanswered(
                message.provider, broke_off=message.broke_off, ms=message.ms, name=message.name
            )
            return replace(state, fault_report=report), told
        case Removed():
            return _removed(state, message, now, limits)
        case Stopped():
            state, effects = _observe(replace(state, stopped=message), now, agent=False)
            if message.detail:
                fields = {"cause": message.cause, "detail": message.detail}
                effects = (*effects, Log("job.worker_stopped", fields, "warning"))
            return state, (*effects, Kill(EXIT_S))
        case Ready():
            return state, ()


def _joined(state: CallState, message: Joined, now: float, limits: CallLimits) -> Next:
    if state.has_joined:  # a worker that joins again after `Rejoin`
        return state, ()
    stages = {**_with_stages(state, message.stage_ms), "joined": _ms_since(state.began, now)}
    state = replace(state, has_joined=True, ticked_at=now, stage_ms=stages)
    effects = (Log("job.joined", {"pid": state.pid, "stage_ms": stages}), TellReady(state.pid, stages))
    if not state.farewell:
        return state, effects
    state, then = _end(state, Cause.FAREWELL, limits.farewell, now, limits)
    return state, (*effects, *then)


def _turn_effects(turn: Turn, budget_ms: int) -> tuple[CallEffect, ...]:
    stage = over_budget(turn.stage_ms, budget_ms)
    if stage is None:
        return (TellTurn(turn, budget_ms),)
    fields = {"n": turn.n, "stage": stage, "ms": turn.stage_ms.get(stage, 0), "total_ms": turn.stage_ms["total"]}
    return TellTurn(turn, budget_ms, stage), Log("turn.over_budget", fields | {"budget_ms": budget_ms})


def _fault(state: CallState, message: Faulty | Recovered, now: float) -> Next:
    state, effects = _observe(state, now)
    if state.served.fixed:
        return state, effects
    if isinstance(message, Recovered):
        faults = state.faults.recover(message.provider, state.served_ms)
        report, told = state.fault_report.recovered(message.provider, now)
    else:
        faults = state.faults.fail(message.provider, state.served_ms, ago_ms=message.ago_ms)
        report, told = state.fault_report.failed(message.provider, now, ago_ms=message.ago_ms)
    state = replace(state, faults=faults, fault_report=report)
    fields = {"provider": message.provider, "state": message.kind, "fault_ms": state.fault_ms}
    return state, (*effects, Log("job.provider", fields), *told)


def _removed(state: CallState, message: Removed, now: float, limits: CallLimits) -> Next:
    state, effects = _observe(state, now, agent=False)
    effects = (*effects, Log("job.removed", {"duplicate": message.duplicate, "reason": message.reason}, "warning"))
    if message.duplicate and state.cause is None:
        return state, (*effects, AskLastEpoch())
    state, then = _end(state, Cause.REMOVED, None, now, limits)
    return state, (*effects, *then)


def _judge_epoch(state: CallState, last: LastEpoch, now: float, limits: CallLimits) -> Next:
    """A newer epoch ends the call. A removed agent rejoins only if its epoch is known to be the last one."""
    if last.epoch is not None and last.epoch > state.epoch:
        return _end(state, Cause.SUPERSEDED, None, now, limits)
    if not last.removed or state.cause is not None:
        return state, ()
    return (state, (Send(Rejoin()),)) if last.epoch == state.epoch else _end(state, Cause.REMOVED, None, now, limits)


def _looked(state: CallState, silence_s: float, now: float, limits: CallLimits) -> Next:
    if state.cause is not None:
        return state, ()
    if now - state.began >= limits.lifetime_s:
        return _end(state, Cause.SESSION_TIMEOUT, None, now, limits)
    served_ms = state.served.observe(now).served_ms
    billable_ms = max(0, served_ms - state.faults.total_ms(served_ms))
    due = state.credit.due(billable_ms, limits.warning)
    if due == "end":
        return _end(state, Cause.CREDIT_SPENT, None, now, limits)
    effects: tuple[CallEffect, ...] = ()
    # During a fault the caller would not hear the warning, and the clock of billable time stands still.
    if due == "warning" and state.pid and state.served.both and not state.has_warned and not state.faults.failing:
        state = replace(state, has_warned=True)
        speak = Speak(text=limits.warning.text, patience_s=state.credit.patience_s(billable_ms))
        effects = (Send(speak), Log("job.credit_warning", {"left_ms": state.credit.left_ms(billable_ms)}))
    state, then = _watch(state, silence_s, now, limits)
    return state, (*effects, *then)


def _watch(state: CallState, silence_s: float, now: float, limits: CallLimits) -> Next:
    """Kill a worker that hangs or does not join in time; report a tick when it is due."""
    went = state.went
    if not state.pid or went is None or state.stopped is not None:
        return state, ()
    state = replace(state, silent_s=state.silent_s + silence_s)
    if state.silent_s >= (limits.silence_s if state.has_joined else limits.joining_silence_s):
        return _kill(state, Cause.STALLED)
    if not state.has_joined and now - went >= limits.join_s:
        return _kill(state, Cause.JOIN_FAILED)
    if now - state.ticked_at >= limits.tick_s:
        return replace(state, ticked_at=now), (TellTick(state.served_ms, state.fault_ms),)
    return state, ()


def _kill(state: CallState, cause: Cause) -> Next:
    """The worker does not answer: nothing since its last message counts as served."""
    state = replace(state, cause=cause, served=state.served.fix_as_seen())
    fields = {"cause": cause, "pid": state.pid, "silent_s": round(state.silent_s, 2)}
    return state, (Log("job.killed", fields, "error"), Kill())


def _end(state: CallState, cause: str, say: str | None, now: float, limits: CallLimits) -> Next:
    """Decide the end: the first decision fixes the served time and the cause.

    A second `end` of the scheduler without a sentence cuts the last sentence of the first.

    A superseded worker is killed: another agent has its identity by now. To leave in order, a worker that was frozen or
    disconnected would first resume its connection to LiveKit, which removes the successor for seconds.
    """
    if state.cause is not None:
        cuts = cause == Cause.ENDED and say is None and state.pid
        return state, (Send(End(how="cancel")),) if cuts else ()
    is_superseded = cause == Cause.SUPERSEDED
    served = state.served.fix_as_seen() if is_superseded else state.served.fix(now)
    state = replace(state, cause=cause, served=served)
    logged = Log("job.ending", {"cause": cause, "served_ms": state.served_ms})
    if not state.pid:
        state, effects = _close(state)
        return state, (logged, *effects)
    if is_superseded:
        return state, (logged, Kill())
    return state, (logged, Send(End(how="cancel" if say is None else "say", text=say)), Kill(limits.kill_s))


def _died(state: CallState) -> Next:
    effects: tuple[CallEffect, ...] = ()
    if state.cause is None:
        if state.stopped is None:
            state = replace(state, served=state.served.fix_as_seen())
            effects = (Log("job.worker_died", {"pid": state.pid}, "error"),)
        state = replace(state, cause=_cause_of(state.stopped, state.failed_provider))
    state, then = _close(state)
    return state, (*effects, *then)


def _close(state: CallState) -> Next:
    cause, served_ms, fault_ms = str(state.cause), state.served_ms, state.fault_ms
    effects: list[CallEffect] = []
    if state.unfinished is not None and state.stopped is None and cause != Cause.SUPERSEDED:
        effects.append(TellTurn(state.unfinished))  # the successor needs it in its context
    effects += [
        Log("job.over", {"cause": cause, "pid": state.pid, "served_ms": served_ms, "fault_ms": fault_ms}),
        TellStopped(cause, served_ms, fault_ms),
        Release(),
    ]
    return replace(state, is_over=True), tuple(effects)


def _observe(state: CallState, now: float, *, agent: bool | None = None, caller: bool | None = None) -> Next:
    served = state.served.observe(now, agent=agent, caller=caller)
    starts = served.both and not served.fixed and not state.has_started
    state = replace(state, served=served, has_started=state.has_started or starts)
    return state, (TellStarted(),) if starts else ()


def _with_stages(state: CallState, since_go_ms: Mapping[str, int]) -> dict[str, int]:
    go_ms = state.stage_ms.get("go", 0)
    return {**state.stage_ms, **{stage: go_ms + ms for stage, ms in since_go_ms.items()}}


def _ms_since(began: float, now: float) -> int:
    return round((now - began) * 1000)


def _cause_of(stopped: Stopped | None, failed_provider: str | None) -> str:
    """The cause that the worker named; a death without a last message is a crash."""
    if stopped is None:
        return Cause.CRASHED
    return provider_failed(failed_provider) if stopped.cause is Cause.PROVIDER_FAILED else stopped.cause
