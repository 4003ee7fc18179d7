"""The name by which a deployment knows its own rooms on a LiveKit that it may share."""

from contracts.rooms import deployment_of_log
from contracts.streams import SESSIONS

from chassis.nats import Bus


async def deployment_name(bus: Bus, configured: str | None, *, deadline_s: float = 5.0) -> str:
    """The configured name; without one, when the log was made: the same in every service, whenever it starts.

    Raises:
        BusUnavailable: The log's stream did not answer.
    """
    if configured is not None:
        return configured
    return deployment_of_log((await bus.use_of(SESSIONS, deadline_s=deadline_s)).created)
