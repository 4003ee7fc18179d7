"""What bounds a session; all are settings."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Durations in ms, on the clock of the log.

    Attributes:
        max_bots: Sessions that run at once.
        max_queue: Sessions that wait at once; one more is refused at once.
        attempt_ms: From `assigned` to `agent_ready`, for one node.
        startup_ms: The same, over all nodes tried.
        max_attempts: Nodes asked in a row, for a start or a take-over, before it counts as failed.
        attempt_pause_ms: Between the second and the third attempt, at least; it doubles with each further one.
        retry_pause_ms: Before the same node is tried again for the same session.
        stale_start_ms: How long after its deadline a start that no leader saw still gets its chance: its room lives
            so much longer.
        settle_ms: What a new leader grants to reports that an outage held back, before it calls them missing.
        node_lease_ms: What a new leader waits before it calls any node lost.
        farewell_ms: From `assigned` to the end, for the agent that only says goodbye.
        end_wait_ms: After `end` was sent, how long its outcome may stay unknown: longer than any answer may take.
        unlisted_ms: How long a node may not list a job that was ready before the job counts as lost.
        credit_look_ms: Between two looks at the log for a session's last seconds of credit, at least.
        timeout_goodbye: What the agent says when `session_ms` is over; empty: nothing.
    """

    max_bots: int = 50
    max_queue: int = 500
    queue_ms: int = 30_000
    attempt_ms: int = 5_000
    startup_ms: int = 30_000
    caller_join_ms: int = 60_000
    reconnect_ms: int = 30_000
    session_ms: int = 1_800_000
    max_takeovers: int = 2
    max_attempts: int = 6
    attempt_pause_ms: int = 500
    retry_pause_ms: int = 1_000
    stale_start_ms: int = 60_000
    settle_ms: int = 5_000
    node_lease_ms: int = 4_000
    farewell_ms: int = 12_000
    end_wait_ms: int = 12_200
    unlisted_ms: int = 2_000
    credit_look_ms: int = 2_000
    max_load: float = 0.7
    timeout_goodbye: str = ""
