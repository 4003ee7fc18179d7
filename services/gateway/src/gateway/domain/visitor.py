"""Access to a gateway without keys: programs on this machine only, and no web page of another site."""

import re
from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from gateway.domain.access import is_loopback

_HOST: Final = re.compile(r"(?:\[(?P<address>[^\[\]]+)\]|(?P<name>[^:\[\]]+))(?::[0-9]*)?")


class Foreign(StrEnum):
    """Why a request counts as foreign."""

    PROXY = "it came through a proxy"
    HOST = "its Host header names another machine"
    ORIGIN = "it comes from a web page of another site"


@dataclass(frozen=True)
class Visitor:
    """The origin of a request, by its headers.

    Attributes:
        host: The header `Host`.
        origin: The header `Origin`, which browsers send with each POST.
        was_forwarded: It has `Forwarded` or a header that begins with `X-Forwarded-`.
    """

    host: str | None
    origin: str | None
    was_forwarded: bool


def foreign(visitor: Visitor, *, hosts: Collection[str], origins: Collection[str]) -> Foreign | None:
    """Why the request is foreign; None for a local one.

    A page whose name resolves to 127.0.0.1 (DNS rebinding) sends that name as `Host`; a page that posts a form to the
    gateway sends its own `Origin`.

    Args:
        hosts: The gateway's host names besides loopback's, in lower case.
        origins: Other web pages that may call.
    """
    if visitor.was_forwarded:
        return Foreign.PROXY
    host = (visitor.host or "").lower()
    name = hostname(host)
    if not is_loopback(name) and name not in hosts:
        return Foreign.HOST
    if visitor.origin is None or visitor.origin in origins:
        return None
    return None if visitor.origin.lower().partition("://")[2] == host else Foreign.ORIGIN


def hostname(host: str) -> str:
    """The name in a `Host` header, without port and brackets; "" if it has none."""
    found = _HOST.fullmatch(host)
    return (found["address"] or found["name"]) if found else ""
