"""The hosts of tools: the parser of a tool's URL, the allow-list, and the check of an IP address."""

import re
import unicodedata
from collections.abc import Collection
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Final

MAX_URL_CHARS: Final = 1_000
URL_PATTERN: Final = (
    r"^https?://([^\s\x00-\x20\x7f/?#@:\[\]\\]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?([/?][^\s\x00-\x20\x7f#\\]*)?$"
)
"""The pattern in the published schemas; `parse_url` also checks the labels of the host and the port's range."""

_URL: Final = re.compile(r"(https?)://(\[[^\]]*\]|[^/?#@:\[\]\\]+)(?::([0-9]{1,5}))?([/?][^#\\]*)?")
_ENTRY: Final = re.compile(
    r"(?:(https?)://)?(\[[^\]]*\]|[0-9A-Fa-f]*:[0-9A-Fa-f:.]+|[^/?#@:\[\]\\]+)(?::([0-9]{1,5}))?/?"
)
_INVISIBLE: Final = re.compile(r"[\s\x00-\x20\x7f]")
_LABEL: Final = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
_NUMBER: Final = re.compile(r"[0-9]+|0x[0-9a-f]*")
_MAX_HOST_CHARS: Final = 253
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_NAT64: Final = IPv6Network("64:ff9b::/96")
_LOCAL_NAT64: Final = IPv6Network("64:ff9b:1::/48")
_GLOBAL_UNICAST: Final = IPv6Network("2000::/3")  # site-local addresses count as global in the standard library
_COMPATIBLE: Final = IPv6Network("::/96")


@dataclass(frozen=True)
class ToolAddress:
    """The parts of a tool's URL.

    Attributes:
        scheme: http or https.
        host: In lower case; an international name in its ASCII form (xn--), an IPv6 address without brackets.
        port: The scheme's default port where the URL has none.
        url: The URL with the host in this form. Callers must use it, so that the checked host is the called one.
    """

    scheme: str
    host: str
    port: int
    url: str


@dataclass(frozen=True)
class AllowedHost:
    """One entry of TOOL_ALLOWED_HOSTS.

    Attributes:
        scheme: None allows http and https.
        port: None allows every port.
    """

    host: str
    scheme: str | None = None
    port: int | None = None

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{f'{self.scheme}://' if self.scheme else ''}{host}{f':{self.port}' if self.port else ''}"


def parse_url(url: str) -> ToolAddress:
    """Read a tool's URL.

    Raises:
        ValueError: The URL is not http(s)://host[:port][/path][?query] with a DNS name or an IP address as host and a
            port from 1 to 65535, or it has a user, a password, a fragment, white space or a backslash.
    """
    found = _URL.fullmatch(url)
    if found is None or len(url) > MAX_URL_CHARS or _INVISIBLE.search(url):
        raise ValueError(
            "must be http(s)://host[:port][/path], without a user, a fragment, white space or a backslash, "
            f"at most {MAX_URL_CHARS} characters"
        )
    scheme, host, port, rest = found.groups()
    name, number = _host(host), _port(port)
    shown = f"[{name}]" if ":" in name else name
    where = f"{scheme}://{shown}{f':{number}' if number else ''}{rest or '/'}"
    return ToolAddress(scheme, name, number or _DEFAULT_PORTS[scheme], where)


def hosts(listed: str) -> tuple[AllowedHost, ...]:
    """Read TOOL_ALLOWED_HOSTS: a comma-separated list of [scheme://]host[:port].

    Raises:
        ValueError: An entry has another form. The text gives the entry's number only, since it may hold a secret.
    """
    found: list[AllowedHost] = []
    for n, text in enumerate((part.strip() for part in listed.split(",") if part.strip()), start=1):
        try:
            found.append(_entry(text))
        except ValueError as error:
            raise ValueError(f"entry {n}: {error}") from None
    return tuple(found)


def is_allowed(address: ToolAddress, allowed: Collection[AllowedHost]) -> bool:
    """Whether an entry matches the URL's host, and its scheme and port where the entry has them."""
    return any(
        entry.host == address.host and entry.scheme in (None, address.scheme) and entry.port in (None, address.port)
        for entry in allowed
    )


def may_connect(address: str, port: int, allowed: Collection[AllowedHost]) -> bool:
    """Whether a tool's call may connect to this address: a private address must be listed itself.

    This stops a listed name that suddenly resolves to an address inside the network (DNS rebinding).
    """
    ip = ip_address(address.partition("%")[0])
    if any(entry.host == str(ip) and entry.port in (None, port) for entry in allowed):
        return True
    if isinstance(ip, IPv6Address):
        if ip in _LOCAL_NAT64:
            return False
        ip = _embedded(ip) or ip
        if isinstance(ip, IPv6Address) and ip not in _GLOBAL_UNICAST:
            return False
    return ip.is_global and not ip.is_multicast


def _embedded(ip: IPv6Address) -> IPv4Address | None:
    """The IPv4 address that finally receives packets for this IPv6 address; None for a native IPv6 address."""
    if ip.ipv4_mapped is not None:
        return ip.ipv4_mapped
    if ip.sixtofour is not None:
        return ip.sixtofour
    if ip in _NAT64 or ip in _COMPATIBLE:
        return IPv4Address(int(ip) & 0xFFFF_FFFF)
    return None


def _entry(text: str) -> AllowedHost:
    found = _ENTRY.fullmatch(text)
    if found is None or _INVISIBLE.search(text):
        raise ValueError("must be [scheme://]host[:port]")
    scheme, host, port = found.groups()
    return AllowedHost(_host(host), scheme, _port(port))


def _port(text: str | None) -> int | None:
    if text is None:
        return None
    if not 1 <= int(text) <= 65_535:
        raise ValueError("the port must be from 1 to 65535")
    return int(text)


def _host(text: str) -> str:
    if text.startswith("[") or ":" in text:
        try:
            return str(IPv6Address(text.strip("[]").partition("%")[0] if "%" not in text else ""))
        except ValueError:
            raise ValueError("the host in brackets must be an IPv6 address") from None
    name = text.lower() if text.isascii() else _ascii_form(text)
    labels = name.split(".")
    if len(name) > _MAX_HOST_CHARS or not all(map(_LABEL.fullmatch, labels)):
        raise ValueError("the host must be a DNS name or an IP address")
    if _NUMBER.fullmatch(labels[-1]):  # a resolver reads 127.1, 0x7f.1 and 2130706433 as IP addresses
        try:
            return str(IPv4Address(name))
        except ValueError:
            raise ValueError("the host must be a DNS name or an IP address in the form 192.0.2.1") from None
    return name


def _ascii_form(text: str) -> str:
    """The ASCII form (xn--) of an international name.

    The standard library only implements IDNA 2003, which replaces some letters (straße becomes strasse). Such a name
    is refused, because it would resolve to another host.

    Raises:
        ValueError: The name has no ASCII form, or IDNA 2003 would change its letters.
    """
    wanted = unicodedata.normalize("NFKC", text).lower()
    try:
        name = text.encode("idna").decode("ascii").lower() if len(text) <= _MAX_HOST_CHARS else ""
        if name and name.encode("ascii").decode("idna") == wanted:
            return name
    except UnicodeError:
        pass
    raise ValueError("the host must be a DNS name; write this international one in its ASCII form (xn--...)")
