"""URLs in settings, checked before anything connects. Error texts never contain a part of the URL."""

from typing import Annotated, Final, TypeAlias
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

from pydantic import AfterValidator

_ENCODE: Final = "write / ? # @ : and % in a user or password as %2F %3F %23 %40 %3A %25"

# Connection parameters that redis-py reads from a URL, with their types.
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
    """Check an http, https, ws or wss URL; it has no credentials, since logs and problems show it.

    Raises:
        ValueError: The URL is invalid.
    """
    if "://" not in url:
        raise ValueError("it does not begin with a scheme such as http:// or wss://")
    part = _split(url)
    if part.username is not None or part.password is not None:
        raise ValueError("it must not contain a user or a password")
    if part.query or part.fragment:
        raise ValueError("it must not contain ? or #")
    return url


def check_redis_url(url: str) -> str:
    """Check a URL for redis-py, which would pass unknown parameters on to the connection and fail there.

    Raises:
        ValueError: The URL is invalid; the text may name an unknown parameter, and no other part.
    """
    unix = url.startswith("unix:")
    part = _split(url, needs_host=False)
    known = _REDIS_PARAMETERS | (_REDIS_TLS_PARAMETERS if part.scheme == "rediss" else {})
    if part.fragment or "@" in part.path or ("@" in part.query and not _names(part.query) <= set(known)):
        raise ValueError(f"it contains a raw / ? or #; {_ENCODE}")  # part of a password
    if unix and not part.path.strip("/"):
        raise ValueError("unix:// needs the path of a socket")
    database = part.path.strip("/")
    if not unix and ((part.netloc and not part.hostname) or (database and not database.isdecimal())):
        raise ValueError(f"it is not redis://[user:password@]host:port/db; {_ENCODE}")
    try:
        given = parse_qs(part.query, keep_blank_values=True, strict_parsing=True) if part.query else {}
    except ValueError:
        raise ValueError(f"the text after ? is not parameter=value; {_ENCODE}") from None
    for name, values in given.items():
        if name not in known:
            listed = f"known: {', '.join(sorted(known))}"
            allowed = "only rediss:// accepts it" if name in _REDIS_TLS_PARAMETERS else listed
            raise ValueError(f"the parameter {name} is unknown; {allowed}")
        if not _fits(values[0], known[name]):
            raise ValueError(f"the parameter {name} has a value of the wrong type")
    return url


def _split(url: str, *, needs_host: bool = True) -> SplitResult:
    try:
        part = urlsplit(url)
        if part.port == 0 or (needs_host and not part.hostname):
            raise ValueError
        for text in (part.username, part.password):
            unquote(text or "", errors="strict")
    except ValueError:
        raise ValueError(f"it is not a server URL; {_ENCODE}") from None
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
