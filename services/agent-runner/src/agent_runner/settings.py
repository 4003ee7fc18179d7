"""The supervisor's settings. What the agent itself is made of is in `agent_config`."""

import re
import socket
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from typing import Annotated, Any, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, FilePath, field_validator, model_validator
from pydantic_settings import NoDecode

from agent_runner.domain.capacity import Capacity, slots
from agent_runner.domain.warm_floors import EXAMPLE, WarmFloor, floor_at, parse
from chassis.settings import ServiceSettings
from chassis.shared_settings import RedisServer, SessionLimits
from contracts.deadlines import KILL_S, TAKE_WORKER_S, WORKER_JOIN_S
from contracts.ids import NODE_ID_PATTERN


def node_id_of(hostname: str) -> str:
    """Turn a host's name into a valid node id."""
    return re.sub(r"[^A-Za-z0-9_-]+", "-", hostname).strip("-_")[:64] or "node"


def _default_node_id() -> str:
    return node_id_of(socket.gethostname())


class Settings(ServiceSettings, SessionLimits, RedisServer):
    """Read from the environment; the variable is the field's name in capitals."""

    node_id: str = Field(
        default_factory=_default_node_id,
        pattern=NODE_ID_PATTERN,
        description="this node's name, unique among the nodes: letters, digits, '_' and '-', 64 at most",
    )
    region: str | None = Field(default=None, max_length=64, description="where this node is, such as eu-west")
    node_slots: int | None = Field(
        default=None, ge=1, le=1000, description="jobs at once; unset: 6 a CPU as memory allows, MAX_BOTS at most"
    )
    memory_reserved_mb: int = Field(
        default=0, ge=0, le=1_000_000, description="MB under the container's limit that calls cannot use"
    )
    prewarm_pool_size: int = Field(default=3, ge=0, le=1000, description="idle workers held ready, within the slots")
    warm_floors: Annotated[tuple[WarmFloor, ...], NoDecode] = Field(
        default=(), description=f"idle workers held ready at some hours, such as {EXAMPLE}"
    )
    tz: str = Field(default="UTC", description="the time zone of WARM_FLOORS, such as Europe/Berlin")
    agent_env_file: FilePath | None = Field(
        default=None, description="a file of NAME=value lines with the agent's variables, read again at SIGHUP"
    )
    log_dir: Path = Field(default=Path("logs"), description="the folder of the sessions' log files")
    drain_limit_s: float = Field(default=600, ge=0, le=86_400, description="seconds that calls may go on after SIGTERM")
    outbox_max_mb: int = Field(default=10, ge=1, le=10_000, description="MB of events on disk while NATS is away")
    tick_s: float = Field(default=5, gt=0, le=60, description="seconds between two reports of served time")
    kill_s: float = Field(default=KILL_S, ge=1, le=60, description="seconds from the decision to end until SIGKILL")
    worker_log_mb: int = Field(default=20, ge=1, le=10_000, description="MB that a worker may write into its log")
    worker_start_s: float = Field(default=20, gt=0, description="seconds from a fork to a built pipeline")
    worker_take_s: float = Field(
        default=TAKE_WORKER_S, gt=0, description="seconds that an assigned job waits for a worker"
    )
    worker_join_s: float = Field(default=WORKER_JOIN_S, gt=0, description="seconds that a worker has to join its room")
    worker_silence_s: float = Field(default=1.5, ge=1, description="seconds of silence after which a worker is stalled")
    idle_silence_s: float = Field(default=5, ge=1, description="the same for an idle or joining worker")
    idle_max_age_s: float = Field(default=3600, gt=0, description="seconds after which an idle worker is replaced")

    @field_validator("warm_floors", mode="before")
    @classmethod
    def _read_floors(cls, value: Any) -> Any:
        return parse(value) if isinstance(value, str) else value

    @model_validator(mode="after")
    def _knows_the_zone(self) -> Self:
        if self.warm_floors:
            try:
                self._zone()
            except (ZoneInfoNotFoundError, ValueError, OSError):
                raise ValueError(
                    "TZ names no time zone that this host knows; set it to one such as Europe/Berlin, or unset it"
                ) from None
        return self

    def warm_floor(self, now: datetime) -> int:
        """The warm workers that WARM_FLOORS requires at this instant."""
        return floor_at(self.warm_floors, now.astimezone(self._zone())) if self.warm_floors else 0

    def _zone(self) -> tzinfo:
        return UTC if self.tz == "UTC" else ZoneInfo(self.tz)

    def slots(self, capacity: Capacity) -> int:
        """Concurrent jobs on this node: NODE_SLOTS, else as many as the CPUs and memory allow."""
        return self.node_slots or slots(capacity, max_bots=self.max_bots, reserved_bytes=self.memory_reserved_mb << 20)
