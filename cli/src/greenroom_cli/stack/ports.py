"""Ports on the loopback interface."""

import random
import re
import socket
from collections.abc import Iterator

from greenroom_cli.errors import CommandError
from greenroom_cli.stack.port_holder import holder

LOOPBACK = "127.0.0.1"
# Below the kernel's ephemeral range (32768-60999), so that no outgoing connection takes a chosen port first.
FIRST, LAST = 15000, 32000


def reached_at(host: str) -> str:
    """The address under which this machine reaches a server on `host`, as in a URL: IPv6 addresses in brackets."""
    if host in ("", "0.0.0.0"):
        return LOOPBACK
    if host in ("::", "::0"):
        return "[::1]"
    return f"[{host}]" if ":" in host else host


def read_port(written: str) -> int | None:
    """Parse a port that a user typed; None unless it is 1 to 65535 in plain digits."""
    return int(written) if re.fullmatch(r"[0-9]{1,5}", written) and 0 < int(written) < 65536 else None


def is_free(port: int, *, udp: bool = False) -> bool:
    kind = socket.SOCK_DGRAM if udp else socket.SOCK_STREAM
    with socket.socket(socket.AF_INET, kind) as probe:
        if not udp:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as for a server, a port in TIME_WAIT is free
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def free_ports() -> Iterator[int]:
    """Yield free TCP and UDP ports without end, each once, from a random start, so that two stacks rarely collide."""
    count = LAST - FIRST
    start = random.randrange(count)
    for step in range(count):
        port = FIRST + (start + step * 7) % count
        if is_free(port) and is_free(port, udp=True):
            yield port
    raise CommandError(f"no free port between {FIRST} and {LAST} on {LOOPBACK}", "stop some servers")


def require_free(name: str, port: int, how: str) -> None:
    """Refuse a configured port that is in use.

    Args:
        name: The server that would use it.
        port: The configured port.
        how: How to choose another, e.g. "choose another with --port or PORT".

    Raises:
        CommandError: Names the port, its holder and the fix.
    """
    if not is_free(port):
        found = holder(port)
        ways = f"{how}, or use that stack: {found.option}" if found.option else how
        raise CommandError(f"port {port}, wanted by {name}, is taken by {found}", ways)
