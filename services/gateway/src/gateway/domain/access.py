"""API keys with scopes, stored as SHA-256 and compared in constant time."""

import hashlib
import hmac
import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

_HASHED: Final = "sha256:"
_STORED: Final = re.compile(r"^sha256:([0-9a-f]{64})$")
_ENTRY: Final = re.compile(r"^(?P<key>.*?)(?:\[(?P<scopes>[^\[\]]*)\])?$", re.DOTALL)
_BRACKETS: Final = frozenset("[]()")
_FORM: Final = "KEY[sessions+tokens]"
_MIN_KEY_CHARS: Final = 16
_PLACEHOLDER: Final = "change-me"


class Scope(StrEnum):
    """A key's permission; each route requires one."""

    SESSIONS = "sessions"
    TOKENS = "tokens"
    BILLING_READ = "billing:read"
    METRICS = "metrics"
    ADMIN = "admin"


EVERY_SCOPE: Final = frozenset(Scope)


@dataclass(frozen=True)
class ApiKey:
    """A configured key; `digest` is its SHA-256."""

    digest: bytes
    scopes: frozenset[Scope] = EVERY_SCOPE

    @property
    def id(self) -> str:
        """Its name in logs: the first 8 hexadecimal digits of its SHA-256."""
        return self.digest.hex()[:8]


@dataclass(frozen=True)
class AccessRules:
    """Who may call the API.

    Attributes:
        keys: Without keys, programs on this machine may call, with every scope.
        hosts: Host names of a gateway without keys, besides loopback's.
        origins: Web pages that may call, such as `https://app.example`.
        metrics_need_key: With keys, `/metrics` needs one too.
    """

    keys: Sequence[ApiKey] = ()
    hosts: Sequence[str] = ()
    origins: Sequence[str] = ()
    metrics_need_key: bool = False


class UnsafeBind(Exception):
    """The API would be open to other machines without a key."""


class BadApiKey(Exception):
    """An entry of GREENROOM_API_KEYS is invalid; the text gives its position, never the entry."""


def parse_keys(configured: Sequence[str]) -> tuple[ApiKey, ...]:
    """Parse the configured keys.

    Args:
        configured: `KEY` in plain text, or `sha256:<64 hexadecimal digits>`, so that the configuration does not
            contain the key; either may end in its scopes, `KEY[sessions+tokens]`. A key without scopes has all.

    Raises:
        BadApiKey: An entry is too short, a placeholder, malformed or repeated, or has an unknown scope.
    """
    for position, entry in enumerate(configured, start=1):
        if "[" in entry and "]" not in entry and any("]" in later for later in configured[position:]):
            raise BadApiKey(
                f"GREENROOM_API_KEYS: entry {position}: separate scopes by +, since a comma ends the entry; "
                f"write {_FORM}"
            )
    keys = tuple(_parsed(entry, f"entry {position}") for position, entry in enumerate(configured, start=1))
    for position, key in enumerate(keys):
        first = next(n for n, other in enumerate(keys) if other.digest == key.digest)
        if first != position:
            raise BadApiKey(f"GREENROOM_API_KEYS: entry {position + 1} repeats entry {first + 1}; remove one of them")
    return keys


def presentable_key(configured: Sequence[str]) -> str | None:
    """The first plain-text key with the most scopes, for a program that shares the gateway's configuration.

    Entries with an unknown scope are skipped.
    """
    best, most = None, -1
    for entry in configured:
        try:
            key, scopes = _parts_of(entry, "")
        except BadApiKey:
            continue
        if key and not key.startswith(_HASHED) and len(scopes) > most:
            best, most = key, len(scopes)
    return best


def find_key(presented: str, keys: Sequence[ApiKey]) -> ApiKey | None:
    """Find the configured key of a request; the time does not depend on which one matches."""
    digest = hashlib.sha256(presented.encode()).digest()
    matches = [key for key in keys if hmac.compare_digest(digest, key.digest)]
    return matches[0] if matches else None


def key_id(presented: str) -> str:
    """A presented key's name in logs, known or unknown."""
    return hashlib.sha256(presented.encode()).hexdigest()[:8]


def check_bind(host: str, keys: Sequence[ApiKey]) -> None:
    """Raise `UnsafeBind` without keys, unless `host` is a loopback address."""
    if not keys and not is_loopback(host):
        raise UnsafeBind(
            f"refusing to listen on {host} without API keys: set GREENROOM_API_KEYS (make one with "
            "`openssl rand -hex 32`), or HOST=127.0.0.1"
        )


def is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _parsed(entry: str, where: str) -> ApiKey:
    key, scopes = _parts_of(entry, where)
    return ApiKey(_digest_of(key, where), scopes)


def _parts_of(entry: str, where: str) -> tuple[str, frozenset[Scope]]:
    found = _ENTRY.fullmatch(entry)
    if found is None:  # unreachable: the pattern matches any text
        raise BadApiKey(f"GREENROOM_API_KEYS: {where} is malformed; write {_FORM}")
    if _BRACKETS.intersection(found["key"]):  # malformed scopes, which would otherwise give the key all scopes
        raise BadApiKey(
            f"GREENROOM_API_KEYS: {where}: a key must not contain [ ] ( ), and its scopes follow it once; write {_FORM}"
        )
    return found["key"], _scopes_of(found["scopes"], where)


def _scopes_of(named: str | None, where: str) -> frozenset[Scope]:
    if named is None:
        return EVERY_SCOPE
    try:
        return frozenset(Scope(scope.strip()) for scope in named.split("+"))
    except ValueError:
        raise BadApiKey(
            f"GREENROOM_API_KEYS: {where} has an unknown scope; write {_FORM} with some of {', '.join(Scope)}"
        ) from None


def _digest_of(key: str, where: str) -> bytes:
    stored = _STORED.fullmatch(key)
    if stored:
        return bytes.fromhex(stored[1])
    if key.startswith(_HASHED):
        raise BadApiKey(f"GREENROOM_API_KEYS: {where}: sha256: must be followed by 64 lower-case hexadecimal digits")
    if key.lower().startswith(_PLACEHOLDER):
        raise BadApiKey(
            f"GREENROOM_API_KEYS: {where} is the example's placeholder; make a key with `openssl rand -hex 32`"
        )
    if len(key) < _MIN_KEY_CHARS:
        raise BadApiKey(
            f"GREENROOM_API_KEYS: {where}: a key needs at least {_MIN_KEY_CHARS} characters; make one with "
            "`openssl rand -hex 32`"
        )
    return hashlib.sha256(key.encode()).digest()
