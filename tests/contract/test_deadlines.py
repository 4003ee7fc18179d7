"""Each caller outlasts what it waits for, and the services' settings start from the same ladder."""

import pytest

from agent_runner.settings import Settings as NodeSettings
from contracts import deadlines
from contracts.deadlines import LADDER, Rung
from gateway.settings import Settings as GatewaySettings
from scheduler.domain.limits import Limits
from scheduler.settings import Settings as SchedulerSettings


@pytest.mark.parametrize("rung", LADDER, ids=lambda rung: f"{rung.outer} > {rung.inner}")
def test_each_outer_wait_exceeds_its_inner_one(rung: Rung) -> None:
    assert rung.outer_s > rung.inner_s


def test_no_deadline_is_outside_the_ladder() -> None:
    named = {value for name, value in vars(deadlines).items() if name.endswith("_S")}
    used = {rung.outer_s for rung in LADDER} | {rung.inner_s for rung in LADDER}
    sums = {
        deadlines.NODE_END_S,
        deadlines.END_REPORT_S,
        deadlines.REAP_S,
        deadlines.NODE_RENEW_S,
        deadlines.PREJOINED_RENEW_S,
        deadlines.QUEUE_S,
        deadlines.NODE_PROBE_S,
        deadlines.RESTORE_RETRY_S,
    }

    assert named - used <= sums


@pytest.mark.parametrize(
    ("settings", "name", "default"),
    [
        (SchedulerSettings, "assign_timeout_s", deadlines.ASSIGN_REPLY_S),
        (SchedulerSettings, "attempt_timeout_s", deadlines.ATTEMPT_S),
        (SchedulerSettings, "bot_startup_timeout", deadlines.STARTUP_S),
        (SchedulerSettings, "queue_deadline_s", deadlines.QUEUE_S),
        (SchedulerSettings, "end_timeout_s", deadlines.END_REPLY_S),
        (SchedulerSettings, "node_lease_s", deadlines.NODE_LEASE_S),
        (GatewaySettings, "end_wait_s", deadlines.END_S),
        (GatewaySettings, "bot_startup_timeout", deadlines.STARTUP_S),
        (GatewaySettings, "queue_deadline_s", deadlines.QUEUE_S),
        (NodeSettings, "kill_s", deadlines.KILL_S),
        (NodeSettings, "worker_take_s", deadlines.TAKE_WORKER_S),
        (NodeSettings, "worker_join_s", deadlines.WORKER_JOIN_S),
    ],
)
def test_a_settings_default_is_the_ladders(settings: type[SchedulerSettings], name: str, default: float) -> None:
    assert settings.model_fields[name].default == default


def test_the_schedulers_limits_are_the_ladders() -> None:
    limits = Limits()

    assert limits.attempt_ms == deadlines.ATTEMPT_S * 1000
    assert limits.startup_ms == deadlines.STARTUP_S * 1000
    assert limits.queue_ms == deadlines.QUEUE_S * 1000
    assert limits.node_lease_ms == deadlines.NODE_LEASE_S * 1000
    assert limits.farewell_ms == deadlines.FAREWELL_S * 1000
    assert limits.end_wait_ms == (deadlines.END_REPLY_S + deadlines.END_OUTCOME_S) * 1000
