"""The environment of each process of the stack: the system's variables, and those that its settings read.

A folder with Docker Compose's `.env` has every user's password; each service gets only its own.
"""

from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING

from chassis.environment import is_given
from greenroom_cli.stack.options import Part

if TYPE_CHECKING:
    from pydantic_settings import BaseSettings


def for_part(part: Part, everything: Mapping[str, str]) -> dict[str, str]:
    """The variables that this part's process needs; a server needs none, since a file configures it."""
    own = variables_of(part)
    return {name: value for name, value in everything.items() if is_given(name, own)}


def mistakes(part: Part, environment: Mapping[str, str]) -> list[str]:
    """What a part would refuse of its settings when it starts, a line for each variable."""
    from chassis.settings import problems

    checked = _settings(part)
    if "AGENT_ENV_FILE" in environment:
        checked = checked[:1]  # the node reads the rest of the agent's configuration
    return [line for settings in checked for line in problems(settings, environment)]


@cache
def variables_of(part: Part) -> frozenset[str]:
    """The variables that the settings of this part read; none for a server."""
    from chassis.settings import variables

    return frozenset[str]().union(*(variables(settings) for settings in _settings(part)))


@cache
def _settings(part: Part) -> "tuple[type[BaseSettings], ...]":
    """These imports take 0.5 s, so only a stack's start has them."""
    match part:
        case Part.GATEWAY:
            from gateway.settings import Settings as GatewaySettings

            return (GatewaySettings,)
        case Part.SCHEDULER:
            from scheduler.settings import Settings as SchedulerSettings

            return (SchedulerSettings,)
        case Part.AGENT_RUNNER:
            from agent_runner.agent_config import AgentConfig
            from agent_runner.settings import Settings as NodeSettings

            return (NodeSettings, AgentConfig)
        case Part.BILLING:
            from billing.settings import Settings as BillingSettings

            return (BillingSettings,)
        case Part.SANDBOX:
            from sandbox.settings import Settings as SandboxSettings

            return (SandboxSettings,)
        case _:
            return ()
