"""What each event of a session means, in one plain sentence and a few facts."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, NamedTuple

from contracts.api_v1 import Level
from contracts.events import (
    AgentReady,
    AgentSpeaking,
    AgentStopped,
    Considered,
    EndRequested,
    Event,
    JobAssigned,
    Outcome,
    ProviderFault,
    ServedTick,
    SessionBilled,
    SessionEnded,
    SessionErased,
    SessionQueued,
    SessionRequested,
    SessionStarted,
    TimeLost,
    ToolCalled,
    TurnFinished,
)
from gateway.domain.failures import failure_words, known_failure, tool_failure
from gateway.domain.sentences import (
    NETWORK,
    cause_words,
    ended_sentence,
    is_failure,
    plural,
    provider_words,
    reason_words,
    seconds_words,
    turn_words,
)
from gateway.domain.turns import LABELS, TOTAL, offset_ms, over_budget

_FAILED_ANSWERS: Final = {"unanswered": "did not answer: it failed", "broke_off": "broke off its answer"}
"""Kinds of fault for which the agent apologised."""


class Told(NamedTuple):
    title: str
    detail: Mapping[str, Any] = {}
    level: Level = "info"


class Story:
    """One session's events in the order of the log.

    Args:
        budget_ms: The latency budget of a turn.
        shows_nodes: Whether the sentences may name nodes.

    Attributes:
        requested_at: None before the request.
        nodes: Epoch -> its node.
    """

    def __init__(self, budget_ms: int, *, shows_nodes: bool) -> None:
        self.requested_at: datetime | None = None
        self.nodes: dict[int, str] = {}
        self._budget_ms = budget_ms
        self._shows_nodes = shows_nodes
        self._assigned_at: dict[int, datetime] = {}
        self._ready: set[int] = set()
        self._stops: dict[int, str] = {}
        self._tools: dict[tuple[int, int], datetime] = {}
        self._fault_ms: dict[int, int] = {}
        self._granted: int | None = None
        self._has_started = False

    def tell(self, event: Event) -> Told | None:
        """What happened; None for a kind without a sentence. Each event may come once."""
        match event:
            case SessionRequested():
                return self._requested(event)
            case SessionQueued():
                return self._queued(event)
            case JobAssigned():
                return self._assigned(event)
            case AgentReady() | SessionStarted() | AgentSpeaking():
                return self._present(event)
            case TurnFinished():
                return self._turn(event)
            case ToolCalled():
                return self._tool(event)
            case ProviderFault():
                return _fault(event)
            case ServedTick():
                self._note_fault(event.epoch, event.fault_ms)
                return None
            case AgentStopped():
                return self._stopped(event)
            case TimeLost():
                return _time_lost(event)
            case EndRequested():
                return Told("A client asked for the end of the call", {"by": event.by, "reason": event.reason})
            case SessionEnded():
                return self._end(event)
            case SessionBilled():
                return self._billed(event)
            case SessionErased():
                return Told("The words and names of this session were erased", {})
            case _:
                return None

    def _requested(self, event: SessionRequested) -> Told:
        self.requested_at = event.time
        self._granted = event.credit_limit_minutes
        return Told(
            "The gateway accepted the start",
            {
                "voiceId": event.voice_id,
                "language": event.language,
                "creditLimit": event.credit_limit_minutes,
                "tools": [tool.name for tool in event.tools],
            },
        )

    def _queued(self, event: SessionQueued) -> Told:
        why = f": {reason_words(event.reason)}" if event.reason else ""
        facts = {
            "position": event.position,
            "deadlineAt": event.deadline_at.isoformat(),
            "reason": event.reason or None,
        }
        return Told(
            f"The start waits in the queue at place {event.position}{why}",
            facts | self._considered(event.considered),
            "warning",
        )

    def _assigned(self, event: JobAssigned) -> Told:
        before, epoch = self.nodes.get(event.epoch - 1), event.epoch
        self.nodes[epoch] = event.node_id
        self._assigned_at[epoch] = event.time
        if event.granted_minutes is not None:
            self._granted = event.granted_minutes
        facts = {"takeover": bool(self._ready), "grantedMinutes": event.granted_minutes}
        facts |= self._considered(event.considered)
        if epoch == 1:
            return Told(f"The scheduler gave the call to {self._node(event.node_id)}", facts)
        cause = self._stops.get(epoch - 1)
        why = f", because the agent before stopped: {cause_words(cause)}" if cause else ""
        former = f" after {self._node(before)}" if before and self._shows_nodes else ""
        verb = "takes the call over" if self._ready else "is the next to start the agent"
        level: Level = "info" if cause is not None and not is_failure(cause) else "warning"
        return Told(f"{_sentence(self._node(event.node_id))} {verb}{former}{why}", facts, level)

    def _present(self, event: AgentReady | SessionStarted | AgentSpeaking) -> Told:
        again = " again" if any(epoch < event.epoch for epoch in self._ready) else ""
        if isinstance(event, SessionStarted):
            self._has_started = True
            return Told("Caller and agent are both in the room: the conversation begins")
        took = self._since_assigned(event.epoch, event.time)
        if isinstance(event, AgentReady):
            self._ready.add(event.epoch)
            return Told(f"The agent is in the room{again}{took}", {"stageMs": dict(event.stage_ms)})
        heard = offset_ms(event.time, self.requested_at) if self.requested_at else 0
        when = f"{took}" if again else f", {seconds_words(heard)} after the request"
        return Told(f"The caller hears the agent{again}{when}", {"stageMs": dict(event.stage_ms)})

    def _turn(self, event: TurnFinished) -> Told:
        stages = dict(event.stage_ms)
        facts: dict[str, Any] = {
            "n": event.n,
            "interrupted": event.interrupted,
            "said": event.said or None,
            "stageMs": stages,
        }
        cut = "; it was interrupted" if event.interrupted else ""
        is_unheard = event.said == "nothing"
        if event.n == 0:
            line = "opening line" if event.epoch == 1 else "line of a take-over"
            return Told(
                f"The agent said its {line}{cut}" if not is_unheard else f"No word of the {line} was heard", facts
            )
        total_ms, over = stages.get(TOTAL), over_budget(event, self._budget_ms)
        budget_ms = event.budget_ms or self._budget_ms
        facts |= {"totalMs": total_ms, "budgetMs": budget_ms, "overBudget": over}
        title = f"Turn {event.n}: {turn_words(event.said)}"
        if total_ms is not None:
            title += f"{', which began' if is_unheard else ''} after {seconds_words(total_ms)}"
        if over is None:
            return Told(f"{title}{cut}", facts, "warning" if is_unheard and not event.interrupted else "info")
        took = f"{LABELS.get(over, over)} took {seconds_words(stages.get(over, 0))}"
        return Told(f"{title}, over the budget of {seconds_words(budget_ms)}: {took}{cut}", facts, "warning")

    def _tool(self, event: ToolCalled) -> Told:
        call = (event.epoch, event.n)
        facts: dict[str, Any] = {"name": event.name, "turn": event.turn, "status": event.status}
        if event.status != "finished":
            self._tools[call] = event.time
            return Told(f"The agent calls the tool {event.name}", facts)
        began = self._tools.get(call)
        ms = None if began is None else offset_ms(event.time, began)
        after = "" if ms is None else f" after {seconds_words(ms)}"
        facts |= {"outcome": event.outcome, "ms": ms}
        if event.outcome == "done":
            return Told(f"The tool {event.name} answered{after}", facts)
        if event.error:
            facts["error"] = event.error
        why = tool_failure(event.error)
        did = "failed" if why or event.outcome == "failed" else "gave no answer"
        told = f"The tool {event.name} {did}{after}" + (f": {why}" if why else "")
        return Told(told if event.outcome == "failed" else f"{told}; it may have taken effect", facts, "warning")

    def _stopped(self, event: AgentStopped) -> Told:
        self._stops[event.epoch] = event.cause
        self._note_fault(event.epoch, event.fault_ms)
        facts = {"cause": event.cause, "servedMs": event.served_ms, "faultMs": event.fault_ms}
        level: Level = "error" if is_failure(event.cause) else "info"
        return Told(f"The agent stopped: {cause_words(event.cause)}", facts, level)

    def _end(self, event: SessionEnded) -> Told:
        facts = {"outcome": event.outcome, "reason": event.reason, "billableMs": event.billable_ms}
        levels: dict[Outcome, Level] = {Outcome.COMPLETED: "info", Outcome.NO_SHOW: "warning"}
        return Told(
            ended_sentence(event.outcome, event.reason),
            facts | self._considered(event.considered),
            levels.get(event.outcome, "error"),
        )

    def _billed(self, event: SessionBilled) -> Told:
        fault_ms = sum(self._fault_ms.values())
        facts = {
            "seconds": event.seconds,
            "minutes": event.minutes,
            "credits": event.credits,
            "faultMs": fault_ms,
            "grantedMinutes": self._granted,
        }
        if event.minutes == 0:
            why = "it lasted less than a second" if self._has_started else "caller and agent never met in the room"
            return Told(f"Nothing is billed: {why}", facts)
        title = f"Billed {plural(event.minutes, 'begun minute')} ({event.seconds} s): {plural(event.credits, 'credit')}"
        if fault_ms:
            title += f"; {seconds_words(fault_ms)} of provider faults are not billed"
        if self._granted is not None and event.minutes >= self._granted:
            title += f"; the limit was {plural(self._granted, 'minute')}"
        return Told(title, facts)

    def _note_fault(self, epoch: int, fault_ms: int) -> None:
        self._fault_ms[epoch] = max(fault_ms, self._fault_ms.get(epoch, 0))

    def _node(self, node_id: str) -> str:
        return f"node {node_id}" if self._shows_nodes else "a node"

    def _since_assigned(self, epoch: int, at: datetime) -> str:
        assigned = self._assigned_at.get(epoch)
        return "" if assigned is None else f", {seconds_words(offset_ms(at, assigned))} after it was assigned"

    def _considered(self, nodes: tuple[Considered, ...]) -> dict[str, Any]:
        if not nodes:
            return {}
        shown = [
            {"nodeId": node.node_id if self._shows_nodes else None, "verdict": node.verdict, "why": node.why}
            for node in nodes
        ]
        return {"considered": shown}


def _fault(event: ProviderFault) -> Told:
    if event.provider == NETWORK:
        return _network_lost(event)
    facts = {"provider": event.provider, "kind": event.kind, "ms": event.ms, "detail": event.detail or None}
    who = _sentence(provider_words(event.provider))
    if event.kind == "unusable":
        return Told(f"{who} is unusable: {failure_words(event.detail)}", facts, "error")
    if event.kind in _FAILED_ANSWERS and event.ms is not None:
        failed = f"{_FAILED_ANSWERS[event.kind]} after {seconds_words(event.ms)}"
        why = f" because {known}" if (known := known_failure(event.detail)) else ""
        return Told(f"{who} {failed}{why}; the agent apologised", facts, "warning")
    if event.ms is None:
        return Told(f"{who} does not answer; this time is not billed", facts, "warning")
    return Told(f"{who} did not answer for {seconds_words(event.ms)}; this time is not billed", facts, "warning")


def _network_lost(event: ProviderFault) -> Told:
    facts = {"provider": event.provider, "kind": event.kind, "ms": event.ms, "againMs": event.again_ms or None}
    if event.ms is None:
        return Told("The caller's network is lost; the agent waits", facts, "warning")
    after = seconds_words(event.ms)
    if event.kind == "given_up":
        title = f"No packet of the caller came for {after}, but the caller is still in the room: the agent goes on"
        return Told(title, facts, "warning")
    lost = f"The caller's network was lost for {after}"
    if event.kind == "left":
        return Told(f"{lost}; then the caller was no longer in the room", facts, "warning")
    again = f" and said the last {seconds_words(event.again_ms)} again" if event.again_ms else ""
    return Told(f"{lost}; the agent waited{again}", facts, "warning")


def _time_lost(event: TimeLost) -> Told:
    title = f"NATS lost the log of this call: {seconds_words(event.billable_ms)} of its earlier agents are not billed"
    return Told(title, {"billableMs": event.billable_ms}, "error")


def _sentence(words: str) -> str:
    """With a capital at its beginning; `str.capitalize` would change the other letters too."""
    return words[:1].upper() + words[1:]
