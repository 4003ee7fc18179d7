"""The servers, identity and certificates for NATS, parsed and checked without opening a file or a connection."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import SplitResult, unquote, urlsplit

_SCHEMES: Final = ("nats", "tls", "ws", "wss")
_WEBSOCKET: Final = ("ws", "wss")
_ENCRYPTED: Final = ("tls", "wss")


@dataclass(frozen=True)
class NatsAccess:
    """The addresses of NATS and the identity that the service uses there.

    Attributes:
        servers: scheme://host:port of each server, without credentials.
        creds: A credentials file with the user's JWT and seed.
        nkey_seed: A file with the user's nkey seed.
        ca: The authorities that must have signed the server's certificate; None uses the system's.
        cert: The client's certificate, in PEM.
        key: The key of `cert`; None when `cert` contains it.
    """

    servers: tuple[str, ...]
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)
    creds: Path | None = None
    nkey_seed: Path | None = None
    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None

    @classmethod
    def of(
        cls,
        url: str,
        *,
        creds: Path | None = None,
        nkey_seed: Path | None = None,
        ca: Path | None = None,
        cert: Path | None = None,
        key: Path | None = None,
    ) -> "NatsAccess":
        """Parse NATS_URL, with percent-encoded user and password, and check it against the files.

        All servers must share one identity: nats-py sends no credentials to servers that it discovers in the cluster.

        Raises:
            ValueError: The combination is invalid. The text never contains a part of the URL.
        """
        parts = [_server(entry) for entry in url.split(",")]
        if len({part.scheme in _WEBSOCKET for part in parts}) > 1:
            raise ValueError("ws:// and nats:// servers cannot be mixed")
        identities = {(part.username, part.password) for part in parts if part.username is not None}
        if len(identities) > 1:
            raise ValueError("all servers must have the same user and password")
        user, password = next(iter(identities), (None, None))
        if sum((user is not None, creds is not None, nkey_seed is not None)) > 1:
            raise ValueError("give one of: a user in NATS_URL, NATS_CREDS, NATS_NKEY_SEED_FILE")
        if key is not None and cert is None:
            raise ValueError("NATS_KEY_FILE is set, but NATS_CERT_FILE is not")
        if cert is not None and any(part.scheme == "ws" for part in parts):
            raise ValueError("a ws:// server has no TLS for NATS_CERT_FILE; use wss://")
        named = user is not None and password is not None
        return cls(
            servers=tuple(_without_identity(part) for part in parts),
            user=_decoded(user) if named else None,
            password=_decoded(password) if named else None,
            token=None if named else _decoded(user),
            creds=creds,
            nkey_seed=nkey_seed,
            ca=ca,
            cert=cert,
            key=key,
        )

    @property
    def shown(self) -> str:
        """The servers without credentials, for logs."""
        return ",".join(self.servers)

    @property
    def must_encrypt(self) -> bool:
        """Whether to refuse a connection without TLS: the URL is tls:// or wss://, or a CA or certificate is set."""
        return self.uses(_ENCRYPTED) or self.ca is not None or self.cert is not None

    @property
    def over_websocket(self) -> bool:
        return self.uses(_WEBSOCKET)

    def uses(self, schemes: Sequence[str]) -> bool:
        return any(server.partition("://")[0] in schemes for server in self.servers)


def _server(entry: str) -> SplitResult:
    entry = entry.strip()
    try:
        part = urlsplit(entry if "://" in entry else f"nats://{entry}")
        if not part.hostname or part.port == 0:
            raise ValueError
        for text in (part.username, part.password):
            _decoded(text)
    except ValueError:
        raise ValueError(
            "an entry is not a server URL; write / ? # , and % in a user or password as %2F %3F %23 %2C %25"
        ) from None
    if part.scheme not in _SCHEMES:
        raise ValueError(f"a server URL must begin with {', '.join(f'{scheme}://' for scheme in _SCHEMES)}")
    websocket_path = part.scheme in _WEBSOCKET and "@" not in part.path
    if part.query or part.fragment or not (part.path in ("", "/") or websocket_path):
        raise ValueError("nothing may follow the port; write / ? and # in a user or password as %2F %3F %23")
    return part


def _without_identity(part: SplitResult) -> str:
    return part._replace(netloc=part.netloc.rpartition("@")[2]).geturl()


def _decoded(text: str | None) -> str | None:
    return None if text is None else unquote(text, errors="strict")
