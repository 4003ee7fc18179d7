"""The scheduler's metrics; each label has a small fixed set of values."""

from typing import Final

from chassis import metrics
from contracts.end_reasons import EndReason, known
from contracts.events import AgentReady, JobAssigned, Outcome, SessionEnded
from scheduler.domain.session import Recorded, Session

_STARTING_S: Final = (0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.5, 5.0, 10.0, 20.0, 30.0, 60.0)
_ASKED: Final = (None, EndReason.REQUESTED, EndReason.ENDED)

SESSIONS: Final = metrics.gauge("scheduler_sessions", "Open sessions by state", ("state",))
SLOTS: Final = metrics.gauge("scheduler_slots_held", "Slots in use, of MAX_BOTS")
LEADING: Final = metrics.gauge("scheduler_leading", "1 in the process that leads, from the beginning of its term on")
SLOTS_SWEPT: Final = metrics.counter("scheduler_slots_unreadable_total", "Unreadable slots that were released")
NODES_MISSING: Final = metrics.gauge("scheduler_nodes_missing", "Nodes with jobs and without a key, not lost yet")
NODES_LOST: Final = metrics.counter("scheduler_nodes_lost_total", "Nodes whose jobs were given to others")
NODE_BRAKES: Final = metrics.counter(
    "scheduler_node_brakes_total", "Times that the loss of many nodes at once was held back for a lease"
)
NODE_LOOKS: Final = metrics.counter(
    "scheduler_node_looks_total", "Second looks at a missing node, by what they found", ("result",)
)
CLOCK_STEPS: Final = metrics.counter("scheduler_clock_steps_total", "Times that the clock of the bus was set")
CLOCK_AHEAD_S: Final = metrics.gauge(
    "scheduler_bus_clock_ahead_seconds", "How far the clock of the bus is ahead of this host's; negative: behind"
)
LIVEKIT: Final = metrics.gauge("scheduler_livekit_up", "1 while LiveKit answers the reconciler")
PREJOINED: Final = metrics.gauge("scheduler_prejoined_rooms", "Prejoined rooms that wait for a start")
PREJOINS: Final = metrics.counter("scheduler_prejoins_total", "Attempts to prejoin a room", ("result",))
LOST: Final = metrics.counter(
    "scheduler_lost_beginnings_total", "Sessions whose beginning the log lost, counted once by each leader"
)
LOST_SECONDS: Final = metrics.counter(
    "scheduler_lost_seconds_total", "Seconds that agents of restored calls served and no bill will have"
)
RESTORED: Final = metrics.counter("scheduler_restored_total", "Sessions with a lost beginning that were restored")
_PLACED: Final = metrics.counter(
    "scheduler_placements_total", "Jobs given to a node, first ones and later ones", ("kind",)
)
_ENDED: Final = metrics.counter("scheduler_ended_total", "Sessions ended", ("outcome", "reason"))
_REJECTED: Final = metrics.counter("scheduler_rejections_total", "Starts that never got an agent", ("reason",))
_READY_S: Final = metrics.histogram(
    "scheduler_requested_to_ready_seconds", "From `requested` to the first `agent_ready`", buckets=_STARTING_S
)
_TAKEN_OVER_S: Final = metrics.histogram(
    "scheduler_takeover_seconds",
    "From an agent's `agent_stopped`, or for a lost node from the next `assigned`, to its successor's `agent_ready`",
    buckets=_STARTING_S,
)
_PLACED_S: Final = metrics.histogram(
    "scheduler_requested_to_assigned_seconds", "From `requested` to the first `assigned`"
)


def _bounded(reason: str) -> str:
    """The reason as a label; "asked" for the free text of an `end_requested`."""
    found = known(reason)
    return "asked" if found in _ASKED else str(found)


for _reason in EndReason:
    _REJECTED.labels(_bounded(_reason))  # a rate needs the 0 before the first one


def clear() -> None:
    """Clear the gauges at the end of a term; the next leader reports them."""
    SESSIONS.clear()
    for gauge in (LEADING, SLOTS, NODES_MISSING, LIVEKIT, PREJOINED):
        gauge.set(0)


def count(record: Recorded, session: Session | None) -> None:
    """Count one new record of the log."""
    event = record.event
    if session is None:
        return
    waited_s = max(0, record.stored_ms - session.requested_ms) / 1000
    match event:
        case JobAssigned():
            kind = "first" if event.epoch == 1 else "takeover" if session.ready_ms else "retry"
            _PLACED.labels(kind).inc()
            if event.epoch == 1 and session.requested is not None:
                _PLACED_S.observe(waited_s)
        case AgentReady():
            if len(session.ready_ms) == 1 and session.requested is not None:
                _READY_S.observe(waited_s)
            elif len(session.ready_ms) > 1 and event.epoch == session.epoch:
                stop = session.stops.get(event.epoch - 1)
                attempt = session.attempts.get(event.epoch)
                since_ms = stop.at_ms if stop is not None else attempt.at_ms if attempt is not None else None
                if since_ms is not None:
                    _TAKEN_OVER_S.observe(max(0, record.stored_ms - since_ms) / 1000)
        case SessionEnded():
            reason = _bounded(event.reason)
            _ENDED.labels(event.outcome.value, reason).inc()
            if event.outcome in (Outcome.REJECTED, Outcome.FAILED) and session.first_ready_ms is None:
                _REJECTED.labels(reason).inc()
        case _:
            pass
