"""How a service reaches NATS: the servers, the identity, the certificates. It opens no file and no connection."""

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
    """Where NATS is and who the service is there.

    Attributes:
        servers: scheme://host:port of each server, without credentials.
        creds: A credentials file, with a user's JWT and its seed.
        nkey_seed: A file that holds a user's nkey seed.
        ca: The certificates that the server's must come from; the system's when None.
        cert: The client's certificate, in PEM.
        key: The key of `cert`; None when it stands in the same file.
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
        """Read NATS_URL, whose user and password are percent-encoded, and check it against the files.

        All servers are given the same identity: nats-py sends none to a server that it learns of from the cluster.

        Raises:
            ValueError: It cannot work. The text never holds a part of the URL.
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
        """The servers, as they may stand in a log."""
        return ",".join(self.servers)

    @property
    def must_encrypt(self) -> bool:
        """Whether a connection without TLS is refused: a URL of tls:// or wss://, or a file that only TLS needs."""
        return self.uses(_ENCRYPTED) or self.ca is not None or self.cert is not None

    @property
    def over_websocket(self) -> bool:
        """Whether the servers are reached over WebSockets."""
        return self.uses(_WEBSOCKET)

    def uses(self, schemes: Sequence[str]) -> bool:
        """Whether a server's URL has one of these schemes."""
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
            "an entry is no URL of a server; / ? # , and % in a user or password are written %2F %3F %23 %2C %25"
        ) from None
    if part.scheme not in _SCHEMES:
        raise ValueError(f"a server's URL begins with {', '.join(f'{scheme}://' for scheme in _SCHEMES)}")
    websocket_path = part.scheme in _WEBSOCKET and "@" not in part.path
    if part.query or part.fragment or not (part.path in ("", "/") or websocket_path):
        raise ValueError("nothing may follow the port; / ? and # in a user or password are written %2F %3F %23")
    return part


def _without_identity(part: SplitResult) -> str:
    return part._replace(netloc=part.netloc.rpartition("@")[2]).geturl()


def _decoded(text: str | None) -> str | None:
    return None if text is None else unquote(text, errors="strict")
