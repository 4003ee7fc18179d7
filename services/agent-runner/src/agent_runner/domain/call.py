"""One job on this node, from its assignment to `agent_stopped`: the step that each event takes."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
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
from agent_runner.domain.call_state import CallState
from agent_runner.domain.credit import CreditWarning
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
    Unreachable,
)
from contracts.causes import Cause
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
        opening: The default opening line; `{name}` stands for the user's name.
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
    opening: str
    bridge: str
    bridge_to_answer: str
    farewell: str
    warning: CreditWarning
    turn_budget_ms: int


CallStep: TypeAlias = tuple[CallState, tuple[CallEffect, ...]]


def step(state: CallState, event: CallEvent, now: float, limits: CallLimits) -> CallStep:
    """Decide the job's next state, and the effects in the order in which they are performed."""
    if state.has_ended:
        return state, ()
    match event:
        case WorkerTaken():
            fields = {"pid": event.pid, "path": event.path, "waited_ms": event.waited_ms}
            stages = {**state.stage_ms, "pool_wait": event.waited_ms}
            state = replace(state, worker=replace(state.worker, pid=event.pid), stage_ms=stages)
            return state, (Log("job.worker_taken", fields),)
        case Prepared():
            if state.cause is not None:
                return state, ()
            stages = {**state.stage_ms, "go": _ms_since(state.job.began, now)}
            return replace(state, worker=replace(state.worker, went=now), stage_ms=stages), (SendGo(event.past),)
        case NoWorkerInTime():
            state, effects = _end(state, Cause.START_FAILED, None, now, limits)
            return state, (Log("job.no_worker", {"error": event.reason}, "error"), *effects)
        case Said():
            return _said(replace(state, worker=replace(state.worker, silent_s=0.0)), event.message, now, limits)
        case Looked():
            return _looked(state, event.silence_s, now, limits)
        case EndAsked():
            return _end(state, event.cause, event.say, now, limits)
        case LastEpoch():
            return _judge_epoch(state, event, now, limits)
        case Died():
            return _died(state)


def _said(state: CallState, message: ToSupervisor, now: float, limits: CallLimits) -> CallStep:
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
            stages = {**_with_stages(state, message.stage_ms), "heard": _ms_since(state.job.began, now)}
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
            worker = replace(state.worker, failed_provider=message.provider)
            state = replace(state, worker=worker, fault_report=report)
            return state, (Log("job.provider_failed", fields, "error"), *told)
        case Unanswered():
            report, told = state.fault_report.unanswered(
                message.provider, broke_off=message.broke_off, ms=message.ms, name=message.name
            )
            return replace(state, fault_report=report), told
        case Unreachable():
            report, told = state.fault_report.unreachable(message.end, ms=message.ms, again_ms=message.again_ms)
            return replace(state, fault_report=report), told
        case Removed():
            return _removed(state, message, now, limits)
        case Stopped():
            state, effects = _observe(replace(state, worker=replace(state.worker, stopped=message)), now, agent=False)
            if message.detail:
                fields = {"cause": message.cause, "detail": message.detail}
                effects = (*effects, Log("job.worker_stopped", fields, "warning"))
            return state, (*effects, Kill(EXIT_S))
        case Ready():
            return state, ()


def _joined(state: CallState, message: Joined, now: float, limits: CallLimits) -> CallStep:
    if state.worker.has_joined:  # a worker that joins again after `Rejoin`
        return state, ()
    stages = {**_with_stages(state, message.stage_ms), "joined": _ms_since(state.job.began, now)}
    worker = replace(state.worker, has_joined=True)
    state = replace(state, worker=worker, ticked_at=now, stage_ms=stages)
    effects = (Log("job.joined", {"pid": state.worker.pid, "stage_ms": stages}), TellReady(state.worker.pid, stages))
    if not state.job.farewell:
        return state, effects
    state, then = _end(state, Cause.FAREWELL, limits.farewell, now, limits)
    return state, (*effects, *then)


def _turn_effects(turn: Turn, budget_ms: int) -> tuple[CallEffect, ...]:
    stage = over_budget(turn.stage_ms, budget_ms)
    if stage is None:
        return (TellTurn(turn, budget_ms),)
    fields = {"n": turn.n, "stage": stage, "ms": turn.stage_ms.get(stage, 0), "total_ms": turn.stage_ms["total"]}
    return TellTurn(turn, budget_ms, stage), Log("turn.over_budget", fields | {"budget_ms": budget_ms})


def _fault(state: CallState, message: Faulty | Recovered, now: float) -> CallStep:
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


def _removed(state: CallState, message: Removed, now: float, limits: CallLimits) -> CallStep:
    state, effects = _observe(state, now, agent=False)
    effects = (*effects, Log("job.removed", {"duplicate": message.duplicate, "reason": message.reason}, "warning"))
    if message.duplicate and state.cause is None:
        return state, (*effects, AskLastEpoch())
    state, then = _end(state, Cause.REMOVED, None, now, limits)
    return state, (*effects, *then)


def _judge_epoch(state: CallState, last: LastEpoch, now: float, limits: CallLimits) -> CallStep:
    """A newer epoch ends the call. A removed agent rejoins only if its epoch is known to be the last one."""
    if last.epoch is not None and last.epoch > state.job.epoch:
        return _end(state, Cause.SUPERSEDED, None, now, limits)
    if not last.removed or state.cause is not None:
        return state, ()
    if last.epoch == state.job.epoch:
        return state, (Send(Rejoin()),)
    return _end(state, Cause.REMOVED, None, now, limits)


def _looked(state: CallState, silence_s: float, now: float, limits: CallLimits) -> CallStep:
    if state.cause is not None:
        return state, ()
    if now - state.job.began >= limits.lifetime_s:
        return _end(state, Cause.SESSION_TIMEOUT, None, now, limits)
    served_ms = state.served.observe(now).served_ms
    billable_ms = max(0, served_ms - state.faults.total_ms(served_ms))
    due = state.job.credit.due(billable_ms, limits.warning)
    if due == "end":
        return _end(state, Cause.CREDIT_SPENT, None, now, limits)
    effects: tuple[CallEffect, ...] = ()
    # During a fault the caller would not hear the warning, and the clock of billable time stands still.
    can_hear = state.worker.pid and state.served.both and not state.faults.failing
    if due == "warning" and can_hear and not state.has_warned:
        state = replace(state, has_warned=True)
        speak = Speak(text=limits.warning.text, patience_s=state.job.credit.patience_s(billable_ms))
        effects = (Send(speak), Log("job.credit_warning", {"left_ms": state.job.credit.left_ms(billable_ms)}))
    state, then = _watch(state, silence_s, now, limits)
    return state, (*effects, *then)


def _watch(state: CallState, silence_s: float, now: float, limits: CallLimits) -> CallStep:
    """Kill a worker that hangs or does not join in time; report a tick when it is due."""
    went = state.worker.went
    if not state.worker.pid or went is None or state.worker.stopped is not None:
        return state, ()
    worker = replace(state.worker, silent_s=state.worker.silent_s + silence_s)
    state = replace(state, worker=worker)
    if worker.silent_s >= (limits.silence_s if worker.has_joined else limits.joining_silence_s):
        return _kill(state, Cause.STALLED)
    if not worker.has_joined and now - went >= limits.join_s:
        return _kill(state, Cause.JOIN_FAILED)
    if now - state.ticked_at >= limits.tick_s:
        return replace(state, ticked_at=now), (TellTick(state.served_ms, state.fault_ms),)
    return state, ()


def _kill(state: CallState, cause: Cause) -> CallStep:
    """The worker does not answer: nothing since its last message counts as served."""
    state = replace(state, cause=cause, served=state.served.fix_as_seen())
    fields = {"cause": cause, "pid": state.worker.pid, "silent_s": round(state.worker.silent_s, 2)}
    return state, (Log("job.killed", fields, "error"), Kill())


def _end(state: CallState, cause: str, say: str | None, now: float, limits: CallLimits) -> CallStep:
    """Decide the end: the first decision fixes the served time and the cause.

    A second `end` of the scheduler without a sentence cuts the last sentence of the first.

    A superseded worker is killed: another agent has its identity by now. To leave in order, a worker that was frozen or
    disconnected would first resume its connection to LiveKit, which removes the successor for seconds.
    """
    if state.cause is not None:
        cuts = cause == Cause.ENDED and say is None and state.worker.pid
        return state, (Send(End(how="cancel")),) if cuts else ()
    is_superseded = cause == Cause.SUPERSEDED
    served = state.served.fix_as_seen() if is_superseded else state.served.fix(now)
    state = replace(state, cause=cause, served=served)
    logged = Log("job.ending", {"cause": cause, "served_ms": state.served_ms})
    if not state.worker.pid:
        state, effects = _close(state)
        return state, (logged, *effects)
    if is_superseded:
        return state, (logged, Kill())
    return state, (logged, Send(End(how="cancel" if say is None else "say", text=say)), Kill(limits.kill_s))


def _died(state: CallState) -> CallStep:
    effects: tuple[CallEffect, ...] = ()
    if state.cause is None:
        if state.worker.stopped is None:
            state = replace(state, served=state.served.fix_as_seen())
            effects = (Log("job.worker_died", {"pid": state.worker.pid}, "error"),)
        state = replace(state, cause=state.worker.cause_of_exit)
    state, then = _close(state)
    return state, (*effects, *then)


def _close(state: CallState) -> CallStep:
    cause, served_ms, fault_ms = str(state.cause), state.served_ms, state.fault_ms
    effects: list[CallEffect] = []
    if state.unfinished is not None and state.worker.stopped is None and cause != Cause.SUPERSEDED:
        effects.append(TellTurn(state.unfinished))  # the successor needs it in its context
    effects += [
        Log("job.ended", {"cause": cause, "pid": state.worker.pid, "served_ms": served_ms, "fault_ms": fault_ms}),
        TellStopped(cause, served_ms, fault_ms),
        Release(),
    ]
    return replace(state, has_ended=True), tuple(effects)


def _observe(state: CallState, now: float, *, agent: bool | None = None, caller: bool | None = None) -> CallStep:
    served = state.served.observe(now, agent=agent, caller=caller)
    starts = served.both and not served.fixed and not state.has_started
    state = replace(state, served=served, has_started=state.has_started or starts)
    return state, (TellStarted(),) if starts else ()


def _with_stages(state: CallState, since_go_ms: Mapping[str, int]) -> dict[str, int]:
    go_ms = state.stage_ms.get("go", 0)
    return {**state.stage_ms, **{stage: go_ms + ms for stage, ms in since_go_ms.items()}}


def _ms_since(began: float, now: float) -> int:
    return round((now - began) * 1000)
