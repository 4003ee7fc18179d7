"""The stages of a start as bars of a waterfall, from the request to the first audio that the caller heard."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final, TypeVar

from contracts.api_v1 import Stage
from contracts.events import (
    AgentReady,
    AgentSpeaking,
    Event,
    JobAssigned,
    SessionEnded,
    SessionQueued,
    SessionRequested,
)
from gateway.domain.logged import LoggedEvent
from gateway.domain.turns import offset_ms

E = TypeVar("E", bound=Event)

_LABELS: Final[Mapping[str, str]] = {
    "pool_wait": "wait for a warm worker",
    "go": "the worker gets the job",
    "join": "the agent joins the room",
    "publish": "the agent's track is published",
    "tts_connected": "the voice is connected",
    "joined": "the agent is in the room",
    "heard": "the caller joins and hears the agent",
}
# The stage before each of these; the others run in the worker from `go` on.
_AFTER: Final[Mapping[str, str]] = {"pool_wait": "", "go": "pool_wait", "heard": "joined"}


def waterfall(records: Sequence[LoggedEvent]) -> list[Stage]:
    """The stages up to now, in the order in which they begin; empty without a request."""
    requested = next((r for r in records if isinstance(r.event, SessionRequested)), None)
    if requested is None or requested.event is None:
        return []
    since = requested.event.time
    queued = _first_ms(records, SessionQueued, since)
    assigned = {e.epoch: offset_ms(e.time, since) for e in _all(records, JobAssigned)}
    ended = _first_ms(records, SessionEnded, since)
    stored = max(0, requested.stored_ms - round(since.timestamp() * 1000)) if requested.stored_ms else 0
    placed = min(assigned.values(), default=None)
    stages = [Stage(name="accepted", label="the gateway accepts the start", begin_ms=0, end_ms=stored)]
    decided = queued if queued is not None else placed if placed is not None else ended
    if decided is not None:
        stages.append(_stage("placed", "the scheduler decides", stored, decided))
    if queued is not None and (until := placed if placed is not None else ended) is not None:
        stages.append(_stage("queued", "wait in the queue", queued, until))
    return [*stages, *_agent_stages(records, assigned, ended)]


def _agent_stages(records: Sequence[LoggedEvent], assigned: Mapping[int, int], ended: int | None) -> list[Stage]:
    ready = {e.epoch: e for e in reversed(list(_all(records, AgentReady)))}
    first = min(ready, default=None)
    stages: list[Stage] = []
    for epoch in sorted(assigned):
        if first is not None and epoch >= first:
            break
        until = assigned.get(epoch + 1, ended)
        if until is not None:
            stages.append(_stage("attempt", f"attempt {epoch} brings no agent", assigned[epoch], until))
    if first is None or first not in assigned:
        return stages
    speaking = next((e for e in _all(records, AgentSpeaking) if e.epoch == first), None)
    at = dict((ready[first] if speaking is None else speaking).stage_ms)
    for name, end in at.items():
        before = _AFTER.get(name, "go")
        begin = min(end, at.get(before, 0))
        stages.append(_stage(name, _LABELS.get(name, name), assigned[first] + begin, assigned[first] + end))
    return stages


def _stage(name: str, label: str, begin_ms: int, end_ms: int) -> Stage:
    return Stage(name=name, label=label, begin_ms=begin_ms, end_ms=max(begin_ms, end_ms))


def _all(records: Sequence[LoggedEvent], kind: type[E]) -> list[E]:
    return [r.event for r in records if isinstance(r.event, kind)]


def _first_ms(records: Sequence[LoggedEvent], kind: type[SessionQueued | SessionEnded], since: datetime) -> int | None:
    return next((offset_ms(event.time, since) for event in _all(records, kind)), None)
