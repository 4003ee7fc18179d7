"""The HTTP proxy of LiveKit's SDK, which ignores NO_PROXY.

The SDK reads the C library's environment when it joins a room; the Python clients of the providers read `os.environ`.
So we can remove a variable from the first and keep it in the second.
"""

import os
from typing import Final
from urllib.parse import urlsplit

from chassis.proxies import is_exempt

_SECURE: Final = ("wss", "https")


def heed_no_proxy(url: str) -> None:
    """Hide the proxy variables from the SDK if NO_PROXY exempts this address. Call it before each join."""
    if is_exempt(url, os.environ):
        for name in _variables(url):
            os.unsetenv(name)


def in_force(url: str) -> str | None:
    """The name of the variable whose proxy the SDK uses for this address; None without a proxy."""
    if is_exempt(url, os.environ):
        return None
    return next((name for name in _variables(url) if os.environ.get(name)), None)


def _variables(url: str) -> tuple[str, str]:
    return ("HTTPS_PROXY", "https_proxy") if urlsplit(url).scheme in _SECURE else ("HTTP_PROXY", "http_proxy")
