"""The parts of a deployment in one container, by its environment."""

from collections.abc import Mapping
from dataclasses import replace

from greenroom_cli import local_stack
from greenroom_cli.errors import CommandError
from greenroom_cli.local_stack import URLS, Wanted
from greenroom_cli.stack import SERVICES, Part, StackOptions

EVERY_INTERFACE = "0.0.0.0"
GATEWAY_PORT = 8000
# What the environment must name, and how to get it.
REQUIRED = {
    "GREENROOM_API_KEYS": "set it to a key that callers' backends present; make one with: openssl rand -hex 32",
    "LIVEKIT_URL": "set it to the LiveKit server that callers reach, such as wss://NAME.livekit.cloud",
    "LIVEKIT_API_KEY": "set it to a key of the LiveKit server",
    "LIVEKIT_API_SECRET": "set it to the secret of LIVEKIT_API_KEY",
    "REDIS_URL": "set it to redis://[user:password@]host:port/db",
}


def options(environment: Mapping[str, str], port: int | None = None) -> StackOptions:
    """The four services, and NATS unless NATS_URL names one; SQLite in the state folder unless DATABASE_URL is set.

    Raises:
        CommandError: A required variable is missing or invalid.
    """
    for name, fix in REQUIRED.items():
        if name not in environment:
            raise CommandError(f"{name} is not set", fix)
    given = {"HOST": EVERY_INTERFACE, **environment}
    chosen = local_stack.options(given, Wanted(ports={} if port is None else {Part.GATEWAY: port}))
    own = {Part.NATS} if URLS[Part.NATS] not in given else set[Part]()
    # A platform's proxy and health check know one port: another one than 8000 would not be found.
    return replace(chosen, parts=SERVICES | own, ports={Part.GATEWAY: GATEWAY_PORT, **chosen.ports}, deployed=True)
