"""One command of a test, answered the way the services answer theirs."""

from collections.abc import Callable
from typing import Any

from chassis.nats import Bus, CommandHandlers, command_router


def respond(
    bus: Bus,
    subject: str,
    handler: Callable[..., Any],
    *,
    queue: str = "",
    max_workers: int = 8,
    timeout_s: float = 30.0,
) -> CommandHandlers:
    """Handlers with one subscriber, to be started and stopped."""
    router = command_router(timeout_s=timeout_s)
    router.subscriber(subject, queue, max_workers=max_workers)(handler)
    return CommandHandlers(bus, router)
