"""The form of DATABASE_URL: databases, drivers, and the parameters of a PostgreSQL URL."""

import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

_DRIVERS: Final = {
    "sqlite": "sqlite+aiosqlite",
    "sqlite+aiosqlite": "sqlite+aiosqlite",
    "postgres": "postgresql+asyncpg",
    "postgresql": "postgresql+asyncpg",
    "postgresql+asyncpg": "postgresql+asyncpg",
}

SYSTEM: Final = "system"
"""Value of `sslrootcert` that stands for the system's authorities, as in libpq 16."""

_TLS_VERSIONS: Final = ("TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3")
POSTGRES_PARAMETERS: Final[Mapping[str, type[str] | type[int] | tuple[str, ...]]] = {
    "application_name": str,
    "channel_binding": ("disable", "prefer", "require"),
    "connect_timeout": int,
    "options": str,
    "prepared_statement_cache_size": int,
    "ssl_max_protocol_version": _TLS_VERSIONS,
    "ssl_min_protocol_version": _TLS_VERSIONS,
    "sslcert": str,
    "sslcrl": str,
    "sslkey": str,
    "sslmode": ("disable", "allow", "prefer", "require", "verify-ca", "verify-full"),
    "sslpassword": str,
    "sslrootcert": str,
    "statement_cache_size": int,
    "target_session_attrs": ("any", "primary", "standby", "read-only", "read-write", "prefer-standby"),
}
"""Parameters of a PostgreSQL URL that `adapters.database` supports; asyncpg itself supports fewer than libpq."""

_FILES: Final = ("sslcert", "sslcrl", "sslkey", "sslrootcert")


def read_database_url(given: str) -> URL:
    """Read DATABASE_URL in the forms that hosts and tools write.

    Args:
        given: `sqlite:///path`, `postgres://...` or `postgresql://...`, with or without the driver's name.

    Raises:
        ValueError: Not a URL, an unsupported database, SQLite without a file, or an unsupported parameter. The text
            quotes only the parameter's name, never the URL.
    """
    try:
        url = make_url(given)
    except (ArgumentError, ValueError):
        raise ValueError("not a URL; percent-encode @ : / ? # and % in a user or password") from None
    driver = _DRIVERS.get(url.drivername)
    if driver is None:
        raise ValueError("unsupported database; sqlite and postgresql are supported")
    url = url.set(drivername=driver)
    if driver.startswith("sqlite"):
        if url.database in (None, "", ":memory:"):
            raise ValueError("the ledger needs a file")
        if url.query:
            raise ValueError(f"the parameter {next(iter(url.query))} is unknown; sqlite has no parameters")
        return url
    if not 0 < (url.port or 1) < 65_536:
        raise ValueError("the port must be 1 to 65535")
    if "ssl" in url.query:  # asyncpg's name for libpq's
        url = url.difference_update_query(["ssl"]).update_query_dict({"sslmode": url.query["ssl"]})
    for name, value in url.query.items():
        _check_parameter(name, value)
    _check_certificates({name: str(value) for name, value in url.query.items()})
    return url


def _check_parameter(name: str, value: str | tuple[str, ...]) -> None:
    if name in ("host", "port"):  # a socket's folder, or several servers
        return
    if name not in POSTGRES_PARAMETERS:
        raise ValueError(f"the parameter {name} is unknown; known: {', '.join(sorted(POSTGRES_PARAMETERS))}")
    allowed = POSTGRES_PARAMETERS[name]
    if not isinstance(value, str):
        raise ValueError(f"the parameter {name} is given twice")
    if name in _FILES and not Path(value).is_file() and (name, value) != ("sslrootcert", SYSTEM):
        raise ValueError(f"the parameter {name} does not name a file")
    if allowed is int and not value.isdecimal():
        raise ValueError(f"the parameter {name} must be a whole number")
    if isinstance(allowed, tuple) and value not in allowed:
        raise ValueError(f"the parameter {name} must be one of {', '.join(allowed)}")


def _check_certificates(given: Mapping[str, str]) -> None:
    """Read the files once at the start, since the driver's errors name neither the file nor the parameter."""
    context = ssl.create_default_context()
    try:
        if given.get("sslrootcert", SYSTEM) != SYSTEM:
            context.load_verify_locations(given["sslrootcert"])
    except (OSError, ValueError):
        raise ValueError("the parameter sslrootcert names a file without certificates in PEM") from None
    try:
        if "sslcrl" in given:
            context.load_verify_locations(given["sslcrl"])
    except (OSError, ValueError):
        raise ValueError("the parameter sslcrl names a file without a list of revoked certificates in PEM") from None
    try:
        if "sslcert" in given:
            context.load_cert_chain(given["sslcert"], given.get("sslkey"), password=given.get("sslpassword", ""))
    except (OSError, ValueError):
        raise ValueError("the parameters sslcert and sslkey must name a certificate and its key in PEM") from None
