"""The limits of a session, from the settings."""

from dataclasses import dataclass, field

from contracts.lines import LineName, Replaced


@dataclass(frozen=True, slots=True)
class Limits:
    """Durations in ms, on the log's clock.

    Attributes:
        max_bots: Sessions that run at once.
        max_queue: Sessions that wait at once; the next start is rejected.
        attempt_ms: From `assigned` to `agent_ready`, for one node.
        startup_ms: The same, over all nodes tried.
        max_attempts: Nodes asked in a row before a start or a take-over fails.
        attempt_pause_ms: Least pause between the second and the third attempt; it doubles with each further one.
        retry_pause_ms: Pause before the same node is tried again for the same session.
        stale_start_ms: How long after its queue deadline a start that no leader saw is still placed: its room lives
            that much longer.
        settle_ms: Grace for reports that an outage delayed, after a new leader began.
        node_lease_ms: How long a new leader waits before it counts any node as lost.
        farewell_ms: From `assigned` to the end, for the agent that only says goodbye.
        end_wait_ms: How long the outcome of `end` may stay unknown; longer than any reply takes.
        unlisted_ms: How long a node may omit a ready job from its list before the job is lost.
        credit_look_ms: Least time between two reads of the log for a session's last seconds of credit.
        timeout_goodbye: The agent's last sentence at `session_ms`; empty: none; None: the line of the call's language.
        lines: Lines that replace those of the table, by language.
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
    timeout_goodbye: str | None = ""
    lines: Replaced = field(default_factory=dict[str, dict[LineName, str]])
