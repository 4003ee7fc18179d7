"""The HTTP proxy of LiveKit's SDK, which takes the environment's whatever NO_PROXY says.

The SDK reads the C library's environment when it joins a room, the Python clients of the providers read `os.environ`:
so a variable can be absent from the one and present in the other.
"""

from __future__ import annotations

import os
from typing import Final
from urllib.parse import urlsplit

from chassis.proxies import is_exempt

_SECURE: Final = ("wss", "https")


def heed_no_proxy(url: str) -> None:
    """Before a join: let the SDK see no proxy where NO_PROXY exempts LiveKit."""
    if is_exempt(url, os.environ):
        for name in _variables(url):
            os.unsetenv(name)


def in_force(url: str) -> str | None:
    """The variable with the proxy that the SDK goes through to this address, if it does."""
    if is_exempt(url, os.environ):
        return None
    return next((name for name in _variables(url) if os.environ.get(name)), None)


def _variables(url: str) -> tuple[str, str]:
    return ("HTTPS_PROXY", "https_proxy") if urlsplit(url).scheme in _SECURE else ("HTTP_PROXY", "http_proxy")
