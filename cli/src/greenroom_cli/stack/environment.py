"""What each process of the stack is given: the system's variables, and of Greenroom's those that its settings read.

A folder with Docker Compose's `.env` holds every user's password; a service gets none of another's.
"""

from collections.abc import Mapping
from functools import cache

from chassis.environment import is_given

from greenroom_cli.stack.options import Part


def for_part(part: Part, everything: Mapping[str, str]) -> dict[str, str]:
    """Of the variables those that this part's process needs; a server is configured by its file and needs none."""
    own = _own(part)
    return {name: value for name, value in everything.items() if is_given(name, own)}


@cache
def _own(part: Part) -> frozenset[str]:
    from chassis.settings import (
        variables,
    )  # this and the services' settings take 0.5 s, which only a stack's start pays

    match part:
        case Part.GATEWAY:
            from gateway.settings import GatewaySettings

            return variables(GatewaySettings)
        case Part.SCHEDULER:
            from scheduler.settings import Settings as SchedulerSettings

            return variables(SchedulerSettings)
        case Part.AGENT_RUNNER:
            from agent_runner.agent_config import AgentConfig
            from agent_runner.settings import Settings as NodeSettings

            return variables(NodeSettings) | variables(AgentConfig)
        case Part.BILLING:
            from billing.settings import Settings as BillingSettings

            return variables(BillingSettings)
        case Part.SANDBOX:
            from sandbox.settings import Settings as SandboxSettings

            return variables(SandboxSettings)
        case _:
            return frozenset()
