"""The supervisor's metrics; labels are of bounded sets."""

from typing import Final

from agent_runner.domain.turn_budget import SHARES
from chassis import metrics

WORKERS: Final = metrics.gauge("agent_workers", "Workers of this node by state", ("state",))
SLOTS_FREE: Final = metrics.gauge("agent_slots_free", "Free slots of this node")
LOAD: Final = metrics.gauge("agent_load", "Share of the CPU in use, of this node's machine or quota, 0..1")
WARM_TARGET: Final = metrics.gauge("agent_warm_target", "Idle workers that this node holds ready")
STARTS: Final = metrics.counter("agent_starts_total", "Jobs that got a worker: warm, fork or prejoined", ("path",))
STOPS: Final = metrics.counter("agent_stops_total", "Jobs that ended, by cause", ("cause",))
REFUSALS: Final = metrics.counter("agent_refusals_total", "Refused jobs, by reason", ("code",))
IDLE_DEATHS: Final = metrics.counter("agent_idle_deaths_total", "Idle workers that crashed")
IDLE_RETIRED: Final = metrics.counter("agent_idle_retired_total", "Idle workers retired: silent, old, surplus")
ROOMS: Final = metrics.counter("agent_rooms_total", "Prejoined rooms that ended: used, aged, died, ...", ("end",))
PROVIDER_FAILURES: Final = metrics.counter("agent_provider_failures_total", "Providers that failed", ("provider",))
ANSWERS_FAILED: Final = metrics.counter(
    "agent_answers_failed_total", "Answers that failed: the agent apologised, and the call went on"
)
STAGE_SECONDS: Final = metrics.histogram("agent_stage_seconds", "Stages of a start, from the assignment", ("stage",))
TURN_SECONDS: Final = metrics.histogram("agent_turn_seconds", "Stages of a turn, from the end of speech", ("stage",))
TURNS_OVER_BUDGET: Final = metrics.counter(
    "agent_turns_over_budget_total", "Turns over TURN_BUDGET_MS, by the stage to blame", ("stage",)
)
RENEWAL_GAP_SECONDS: Final = metrics.histogram(
    "agent_renewal_gap_seconds",
    "Time between two renewals of the node's entry; after 4 s, its lease, the node may count as lost",
    buckets=(0.1, 0.5, 1.0, 1.1, 1.25, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0, 6.0, 10.0),
)
SERVED_SECONDS: Final = metrics.counter("agent_served_seconds_total", "Served time of all jobs")
FAULT_SECONDS: Final = metrics.counter("agent_fault_seconds_total", "Served time in which a provider failed: unbilled")

for _stage in SHARES:
    TURNS_OVER_BUDGET.labels(_stage)  # a rate needs the 0 before the first one

_STAGES: Final = 32
_seen: set[str] = set()


def bounded(stage: str) -> str:
    """A stage's name as a label. Workers choose the names, so all after the first 32 become `other`."""
    if stage not in _seen and len(_seen) >= _STAGES:
        return "other"
    _seen.add(stage)
    return stage
