"""The possible parts of a stack, and the chosen ones."""

import os
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from enum import StrEnum


class Part(StrEnum):
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

# Variables that every process needs from the caller's environment.
SYSTEM_VARIABLES = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "VIRTUAL_ENV", "LIVEKIT_SERVER_BIN")


def system_environment() -> dict[str, str]:
    """The caller's environment without Greenroom's variables, for tests."""
    return {name: os.environ[name] for name in SYSTEM_VARIABLES if name in os.environ}


@dataclass(frozen=True)
class StackOptions:
    """The parts to start, and how.

    Attributes:
        parts: A part left out is used at its address in `environment`.
        nodes: The number of agent-runners.
        environment: The environment of every process; the stack adds the addresses of the parts that it starts.
        ports: Required ports by name (gateway, nats, redis, livekit, ...); a port in use is refused.
        preferred_ports: Ports to take if free; the ports of the folder's last run have priority.
        deployed: For callers elsewhere: the services' own defaults instead of those for one machine; a service has
            started when it is alive (`/ready` of the gateway tells what is missing); the nodes stop first, so that
            their calls drain while the other services run.
        restored: The state folder may be a copy: its original is stopped for good.
    """

    parts: AbstractSet[Part] = EVERYTHING
    nodes: int = 1
    environment: Mapping[str, str] = field(default_factory=system_environment)
    ports: Mapping[str, int] = field(default_factory=dict[str, int])
    preferred_ports: Mapping[str, int] = field(default_factory=dict[str, int])
    deployed: bool = False
    restored: bool = False
