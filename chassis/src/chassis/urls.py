"""The URLs of settings, checked before anything connects. What is wrong is said without a part of the URL."""

from typing import Annotated, Final, TypeAlias
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

from pydantic import AfterValidator

_ENCODE: Final = "/ ? # @ : and % in a user or password are written %2F %3F %23 %40 %3A %25"

# Parameters of redis-py's connections that a URL may set: int, float, a truth value, or text.
_REDIS_PARAMETERS: Final = {
    "client_name": str,
    "db": int,
    "health_check_interval": int,
    "max_connections": int,
    "password": str,
    "protocol": int,
    "retry_on_timeout": bool,
    "socket_connect_timeout": float,
    "socket_keepalive": bool,
    "socket_timeout": float,
    "username": str,
}
_REDIS_TLS_PARAMETERS: Final = {
    "ssl_ca_certs": str,
    "ssl_ca_path": str,
    "ssl_cert_reqs": str,
    "ssl_certfile": str,
    "ssl_check_hostname": bool,
    "ssl_ciphers": str,
    "ssl_keyfile": str,
    "ssl_password": str,
}
_TRUTHS: Final = ("0", "1", "f", "false", "n", "no", "t", "true", "y", "yes")


def check_server_url(url: str) -> str:
    """An http, https, ws or wss URL of a server, without credentials: it stands in logs and in problems.

    Raises:
        ValueError: It is none.
    """
    part = _split(url)
    if part.username is not None or part.password is not None:
        raise ValueError("it may not hold a user or a password")
    if part.query or part.fragment:
        raise ValueError("it may not hold a ? or a #")
    return url


def check_redis_url(url: str) -> str:
    """A URL as redis-py reads it, which passes on what it does not know to the connection and fails there.

    Raises:
        ValueError: It cannot work; the text names an unknown parameter, and shows no other part.
    """
    unix = url.startswith("unix:")
    part = _split(url, needs_host=False)
    known = _REDIS_PARAMETERS | (_REDIS_TLS_PARAMETERS if part.scheme == "rediss" else {})
    if part.fragment or "@" in part.path or ("@" in part.query and not _names(part.query) <= set(known)):
        raise ValueError(f"it holds a raw / ? or #; {_ENCODE}")  # the rest of a password
    if unix and not part.path.strip("/"):
        raise ValueError("unix:// is followed by the path of a socket")
    database = part.path.strip("/")
    if not unix and ((part.netloc and not part.hostname) or (database and not database.isdecimal())):
        raise ValueError(f"it is no redis://[user:password@]host:port/db; {_ENCODE}")
    try:
        given = parse_qs(part.query, keep_blank_values=True, strict_parsing=True) if part.query else {}
    except ValueError:
        raise ValueError(f"what follows the ? is no parameter=value; {_ENCODE}") from None
    for name, values in given.items():
        if name not in known:
            listed = f"known: {', '.join(sorted(known))}"
            allowed = "only rediss:// takes it" if name in _REDIS_TLS_PARAMETERS else listed
            raise ValueError(f"the parameter {name} is unknown; {allowed}")
        if not _fits(values[0], known[name]):
            raise ValueError(f"the parameter {name} has a value that does not fit")
    return url


def _split(url: str, *, needs_host: bool = True) -> SplitResult:
    try:
        part = urlsplit(url)
        if part.port == 0 or (needs_host and not part.hostname):
            raise ValueError
        for text in (part.username, part.password):
            unquote(text or "", errors="strict")
    except ValueError:
        raise ValueError(f"it is no URL of a server; {_ENCODE}") from None
    return part


def _names(query: str) -> set[str]:
    return {pair.partition("=")[0] for pair in query.split("&")}


def _fits(value: str, kind: type) -> bool:
    if kind is bool:
        return value.lower() in _TRUTHS
    try:
        kind(value)
    except ValueError:
        return False
    return True


ServerUrl: TypeAlias = Annotated[str, AfterValidator(check_server_url)]
RedisUrl: TypeAlias = Annotated[str, AfterValidator(check_redis_url)]
