"""The deployment's name, which marks its rooms on a shared LiveKit server."""

from chassis.nats import Bus
from contracts.rooms import deployment_of_log
from contracts.streams import SESSIONS


async def deployment_name(bus: Bus, configured: str | None, *, deadline_s: float = 5.0) -> str:
    """The configured name, or one derived from the creation time of the log, which every service sees alike.

    Raises:
        BusUnavailable: NATS did not answer within the deadline.
    """
    if configured is not None:
        return configured
    return deployment_of_log((await bus.use_of(SESSIONS, deadline_s=deadline_s)).created)
