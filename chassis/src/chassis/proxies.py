"""Proxy variables: removes the kinds that our clients cannot use, and reads NO_PROXY."""

from collections.abc import Mapping, MutableMapping
from ipaddress import ip_address, ip_network
from typing import Final
from urllib.parse import urlsplit

_SUFFIX: Final = "_proxy"
_NO_PROXY: Final = "no_proxy"
_PORTS: Final = {"ws": 80, "http": 80}


def take_out_socks(environment: MutableMapping[str, str]) -> list[str]:
    """Remove the variables that name a SOCKS proxy: some of our clients fail to start with one.

    Returns:
        The names of the removed variables.
    """
    found = [
        name
        for name, value in environment.items()
        if name.lower().endswith(_SUFFIX) and name.lower() != _NO_PROXY and value.lower().startswith("socks")
    ]
    for name in found:
        del environment[name]
    return sorted(found)


def is_exempt(url: str, environment: Mapping[str, str]) -> bool:
    """Whether NO_PROXY exempts this address from the proxy.

    An entry is a host, which covers its subdomains, a host with a port, a network such as 10.0.0.0/8, or `*`.
    """
    parts = urlsplit(url)
    host, port = (parts.hostname or "").lower(), parts.port or _PORTS.get(parts.scheme, 443)
    entries = environment.get("no_proxy") or environment.get("NO_PROXY") or ""
    return any(_covers(entry.strip().lower(), host, port) for entry in entries.split(","))


def _covers(entry: str, host: str, port: int) -> bool:
    if entry == "*":
        return True
    is_address = _is_address(host)
    if is_address:
        try:
            return ip_address(host) in ip_network(entry, strict=False)
        except ValueError:
            pass  # the entry is a name, or an address with a port
    name, colon, number = entry.rpartition(":")
    if colon and number.isdigit():
        if int(number) != port:
            return False
        entry = name.strip("[]")
    domain = entry.removeprefix("*").removeprefix(".")
    return host == domain or (bool(domain) and not is_address and host.endswith(f".{domain}"))


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
