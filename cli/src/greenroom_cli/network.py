"""Network settings of the environment, for this process and its children: proxies and private authorities."""

import contextlib
import os
import ssl
from collections.abc import Generator
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit

from chassis.proxies import is_exempt
from gateway.domain import access
from greenroom_cli.errors import CommandError

LOOPBACK = ("127.0.0.1", "localhost", "::1")
_PROXIES = ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")


def prepare() -> None:
    """Set the environment: no proxy for the local stack, and one variable for private authorities.

    Raises:
        CommandError: A variable names authorities that do not exist.
    """
    # Both spellings with the same value: clients differ in which they read, and Python prefers the lower-case one.
    written = ",".join(os.environ.get(name, "") for name in ("NO_PROXY", "no_proxy"))
    exempt = [entry.strip() for entry in written.split(",") if entry.strip()]
    os.environ["NO_PROXY"] = os.environ["no_proxy"] = ",".join(dict.fromkeys([*exempt, *LOOPBACK]))
    # Our TLS clients (OpenSSL) read SSL_CERT_FILE; many machines set only the variable of requests.
    for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "SSL_CERT_DIR"):
        if (value := os.environ.get(name)) and not Path(value).exists():
            raise CommandError(f"{name} names {value}, which does not exist", "correct it, or unset it")
    bundle = os.environ.get("REQUESTS_CA_BUNDLE")
    if bundle and not os.environ.get("SSL_CERT_FILE") and not os.environ.get("SSL_CERT_DIR"):
        os.environ["SSL_CERT_DIR" if Path(bundle).is_dir() else "SSL_CERT_FILE"] = bundle


def is_loopback(url: str) -> bool:
    """Whether the URL leads to this machine, independent of NO_PROXY."""
    host = urlsplit(url).hostname or ""
    return access.is_loopback(host) or host.endswith(".localhost")


@cache
def trust() -> ssl.SSLContext:
    """The system's authorities, or those of SSL_CERT_FILE and SSL_CERT_DIR."""
    return ssl.create_default_context()


@contextlib.contextmanager
def as_no_proxy_says(url: str) -> Generator[None]:
    """Hide the proxies from a library that ignores NO_PROXY, when NO_PROXY or loopback exempts this address."""
    if not (is_loopback(url) or is_exempt(url, os.environ)):
        yield
        return
    hidden = {name: os.environ.pop(name) for name in _PROXIES if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(hidden)
