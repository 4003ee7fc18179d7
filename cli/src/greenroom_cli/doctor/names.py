"""Whether this machine can resolve the name of a server that it does not reach."""

import asyncio
import os
import socket
from typing import Final
from urllib.parse import urlsplit
from urllib.request import getproxies_environment

from chassis.proxies import is_exempt

LIMIT_S: Final = 3.0


async def unresolved(url: str) -> str | None:
    """The URL's host if this machine cannot resolve it within `LIMIT_S`; None if it can, or leaves that to a proxy."""
    host = urlsplit(url).hostname
    if host is None or (any(name != "no" for name in getproxies_environment()) and not is_exempt(url, os.environ)):
        return None
    try:
        async with asyncio.timeout(LIMIT_S):
            await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError, TimeoutError):  # UnicodeError: a label of more than 63 characters
        return host
    return None
