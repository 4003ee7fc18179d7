"""Who may call the API: keys, compared in constant time, kept as SHA-256."""

import hashlib
import hmac
import ipaddress
import re
from collections.abc import Sequence

_STORED = re.compile(r"^sha256:([0-9a-f]{64})$")
_MIN_KEY_CHARS = 16


class UnsafeBind(Exception):
    """The API would be open to other machines without any key."""


class BadApiKey(Exception):
    """A configured key cannot be one."""


def parse_keys(configured: Sequence[str]) -> tuple[bytes, ...]:
    """The SHA-256 of each key.

    Args:
        configured: Keys as they are presented, or `sha256:<64 hexadecimal digits>`, so that the configuration need not
            hold the key itself.

    Raises:
        BadApiKey: A key is shorter than 16 characters, or its stored form is not well-formed.
    """
    return tuple(_digest_of(entry) for entry in configured)


def is_known(presented: str, digests: Sequence[bytes]) -> bool:
    """Whether the key is one of ours; it takes the same time whichever matches."""
    digest = hashlib.sha256(presented.encode()).digest()
    matches = [hmac.compare_digest(digest, known) for known in digests]  # every one, before any is looked at
    return any(matches)


def check_bind(host: str, digests: Sequence[bytes]) -> None:
    """Refuse to be open to other machines.

    Raises:
        UnsafeBind: There is no key and `host` is not a loopback address.
    """
    if not digests and not is_loopback(host):
        raise UnsafeBind(
            f"refusing to listen on {host} without API keys: set GREENROOM_API_KEYS (make one with "
            "`openssl rand -hex 32`), or HOST=127.0.0.1"
        )


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach the address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _digest_of(entry: str) -> bytes:
    stored = _STORED.fullmatch(entry)
    if stored:
        return bytes.fromhex(stored[1])
    if entry.startswith("sha256:"):
        raise BadApiKey("GREENROOM_API_KEYS: after sha256: come 64 lower-case hexadecimal digits")
    if len(entry) < _MIN_KEY_CHARS:
        raise BadApiKey(
            f"GREENROOM_API_KEYS: a key has at least {_MIN_KEY_CHARS} characters; make one with `openssl rand -hex 32`"
        )
    return hashlib.sha256(entry.encode()).digest()
