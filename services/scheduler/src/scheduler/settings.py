"""The scheduler's settings, from the environment."""

from dataclasses import replace
from typing import Final

from pydantic import Field, model_validator

from chassis.settings import ServiceSettings
from chassis.shared_settings import LiveKitServer, SessionLimits, SpokenLines, StartDeadlines
from contracts.deadlines import ASSIGN_REPLY_S, ATTEMPT_S, END_OUTCOME_S, END_REPLY_S, NODE_LEASE_S
from contracts.registry import WordsKey
from contracts.streams import KEYS, SESSIONS, BucketSpec, StreamSpec, calls_bytes, keys_bytes, sessions_bytes
from scheduler.domain.limits import Limits

_DAY_S: Final = 24 * 3600
_MIB: Final = 1024**2


class Settings(ServiceSettings, SessionLimits, StartDeadlines, LiveKitServer, SpokenLines):
    """Each field is read from the environment variable with its name in capitals."""

    max_queue: int | None = Field(
        default=None,
        ge=0,
        le=100_000,
        description="sessions that may wait at once, and a tenth more "
        "of users with none waiting; unset: ten times MAX_BOTS",
    )
    session_timeout_goodbye: str | None = Field(
        default=None,
        max_length=500,
        description="what the agent says at SESSION_TIMEOUT, in every language, 5 s at most; unset: the language's; "
        "the word none: nothing",
    )
    attempt_timeout_s: float = Field(
        default=ATTEMPT_S, ge=0.2, le=120, description="seconds that one node has for it, 0.2 to 120"
    )
    caller_join_timeout_s: float = Field(
        default=60, ge=1, le=3600, description="seconds in which the caller must come, from the agent's arrival on"
    )
    reconnect_grace_s: float = Field(
        default=30, ge=0, le=3600, description="seconds in which a caller who left may come back"
    )
    max_takeovers: int = Field(default=2, ge=0, le=100, description="how often another agent may take a call over")
    max_load: float = Field(
        default=0.7, gt=0, le=1000, description="CPU load, 1 for all cores, at which a node gets no more jobs"
    )
    prejoin_pool_size: int = Field(
        default=0, ge=0, le=1000, description="rooms held ready with an agent in them, over all nodes, 0 to 1000"
    )
    prejoin_max_age_s: float = Field(
        default=600, gt=0, le=86_400, description="seconds after which such a room is replaced"
    )
    assign_timeout_s: float = Field(
        default=ASSIGN_REPLY_S, gt=0, le=30, description="seconds a node has to answer `assign`"
    )
    end_timeout_s: float = Field(default=END_REPLY_S, gt=0, le=30, description="seconds a node has to answer `end`")
    sessions_max_mb: int | None = Field(
        default=None,
        ge=16,
        le=10_000_000,
        description="MB of the log of all sessions on NATS' disk, 16 KB a minute of a call; unset: 1536, or twice what "
        "MAX_BOTS calls of SESSION_TIMEOUT write",
    )
    sessions_max_age_h: int | None = Field(
        default=None, ge=1, le=8760, description="hours for which the log keeps a session; unset: 168"
    )
    keys_max_mb: int | None = Field(
        default=None,
        ge=1,
        le=1_000_000,
        description="MB for the keys that open the log's words, kept a day longer than the log: a session takes about "
        "250 bytes; unset: 64, or the calls of three minutes that MAX_BOTS slots make in that time",
    )
    streams_look_s: float = Field(default=15, ge=0.2, le=600, description="seconds between two looks at NATS' streams")
    reconcile_s: float = Field(default=15, ge=0.2, le=600, description="seconds between two reconciliations")
    leader_lease_s: int = Field(default=5, ge=1, le=60, description="whole seconds without a leader after a crash")
    node_lease_s: float = Field(
        default=NODE_LEASE_S,
        ge=0,
        le=600,
        description="seconds without a word from a node after which it may be lost; a new leader waits as long",
    )

    @model_validator(mode="after")
    def _one_attempt_fits(self) -> "Settings":
        if self.attempt_timeout_s > self.bot_startup_timeout:
            raise ValueError("ATTEMPT_TIMEOUT_S is above BOT_STARTUP_TIMEOUT; lower it or raise the latter")
        return self

    @model_validator(mode="after")
    def _the_log_holds_its_calls(self) -> "Settings":
        needed_mb = -(-2 * self.calls_bytes // _MIB)
        if self.sessions_max_mb is not None and self.sessions_max_mb < needed_mb:
            raise ValueError(
                f"SESSIONS_MAX_MB={self.sessions_max_mb} is too small for MAX_BOTS={self.max_bots} calls of "
                f"SESSION_TIMEOUT={self.session_timeout} ms; set it to {needed_mb} or more, or lower one of these"
            )
        least_h = -(-self.session_timeout // 3_600_000) + 1
        if self.sessions_max_age_h is not None and self.sessions_max_age_h < least_h:
            raise ValueError(
                f"SESSIONS_MAX_AGE_H={self.sessions_max_age_h} is too short for SESSION_TIMEOUT="
                f"{self.session_timeout} ms; set it to {least_h} or more"
            )
        return self

    @property
    def calls_bytes(self) -> int:
        """Most bytes that all concurrent calls write."""
        return calls_bytes(self.max_bots, self.session_timeout)

    def sessions(self) -> StreamSpec:
        """The stream SESSIONS with the bounds of these settings."""
        return replace(
            SESSIONS,
            max_bytes=self.sessions_max_mb * _MIB
            if self.sessions_max_mb is not None
            else sessions_bytes(self.max_bots, self.session_timeout),
            max_age_s=SESSIONS.max_age_s if self.sessions_max_age_h is None else self.sessions_max_age_h * 3600,
            is_set=self.sessions_max_mb is not None or self.sessions_max_age_h is not None,
        )

    def keys(self) -> BucketSpec[WordsKey]:
        """The bucket of the words' keys with the bounds of these settings; a key outlives what it opens."""
        kept_s, size_mb = self.sessions().max_age_s + _DAY_S, self.keys_max_mb
        return replace(
            KEYS,
            max_bytes=keys_bytes(self.max_bots, kept_s) if size_mb is None else size_mb * _MIB,
            ttl_s=kept_s,
            is_set=size_mb is not None or self.sessions().is_set,
        )

    def limits(self) -> Limits:
        """The limits of the domain."""
        goodbye = self.session_timeout_goodbye
        return Limits(
            max_bots=self.max_bots,
            max_queue=10 * self.max_bots if self.max_queue is None else self.max_queue,
            queue_ms=_ms(self.queue_deadline_s),
            attempt_ms=_ms(self.attempt_timeout_s),
            startup_ms=_ms(self.bot_startup_timeout),
            caller_join_ms=_ms(self.caller_join_timeout_s),
            reconnect_ms=_ms(self.reconnect_grace_s),
            session_ms=self.session_timeout,
            max_takeovers=self.max_takeovers,
            node_lease_ms=_ms(self.node_lease_s),
            end_wait_ms=_ms(self.end_timeout_s + END_OUTCOME_S),
            max_load=self.max_load,
            lines=self.spoken_lines,
            timeout_goodbye="" if goodbye is not None and goodbye.lower() == "none" else goodbye,
        )


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
