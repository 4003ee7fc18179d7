"""What a stack can consist of, and what of it is wanted."""

import os
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from enum import StrEnum


class Part(StrEnum):
    """What a stack can consist of."""

    NATS = "nats"
    REDIS = "redis"
    LIVEKIT = "livekit"
    POSTGRES = "postgres"
    SANDBOX = "sandbox"
    BILLING = "billing"
    SCHEDULER = "scheduler"
    AGENT_RUNNER = "agent-runner"
    GATEWAY = "gateway"


SERVERS = frozenset({Part.NATS, Part.REDIS, Part.LIVEKIT})
SERVICES = frozenset({Part.BILLING, Part.SCHEDULER, Part.AGENT_RUNNER, Part.GATEWAY})
EVERYTHING = SERVERS | SERVICES | {Part.SANDBOX}

# What a process needs of the caller's environment, whatever else it is given.
SYSTEM_VARIABLES = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "VIRTUAL_ENV", "LIVEKIT_SERVER_BIN")


def system_environment() -> dict[str, str]:
    """The caller's environment without anything that would configure Greenroom: what tests start from."""
    return {name: os.environ[name] for name in SYSTEM_VARIABLES if name in os.environ}


@dataclass(frozen=True)
class StackOptions:
    """What to start.

    Attributes:
        parts: Which parts; a part left out is used where `environment` says that it is.
        nodes: How many agent-runners.
        environment: The environment of every process, on top of which the stack puts the addresses of what it starts.
        ports: Ports that must be these, by name (gateway, nats, redis, livekit, ...); a taken one is refused.
        preferred_ports: Ports to take when they are free; the ports of the folder's last run come before them.
    """

    parts: AbstractSet[Part] = EVERYTHING
    nodes: int = 1
    environment: Mapping[str, str] = field(default_factory=system_environment)
    ports: Mapping[str, int] = field(default_factory=dict[str, int])
    preferred_ports: Mapping[str, int] = field(default_factory=dict[str, int])
