"""nats-py's client with two fixes: it refuses to log in without the configured TLS, and keeps the case of subjects."""

# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false

import re
import ssl
from collections import deque
from pathlib import Path
from typing import Any, Final

import faststream.nats.security
import nats.errors
from faststream.nats.security import (
    NatsCredentials,
    NatsNKey,
    NatsSecurity,
    NatsToken,
    NatsUserPassword,
)
from nats.aio import transport
from nats.aio.client import Client

from chassis.access import NatsAccess
from chassis.errors import StartFailed

_PERMISSION: Final = re.compile(r'permissions violation for (publish|subscription) to "([^"]+)"')
_REMEMBERED: Final = 256  # subjects; a refusal comes back within one round trip


class NotEncrypted(nats.errors.Error):
    """The server offers no TLS, so the client does not send its credentials."""

    def __str__(self) -> str:
        return "the server offers no TLS, which tls://, wss:// or a NATS_*_FILE asks for"


class RecordingClient(Client):
    """The client of one connection; it remembers the newest subjects for the errors that name them."""

    def __init__(self, *, must_encrypt: bool) -> None:
        super().__init__()
        self._must_encrypt = must_encrypt
        self._subjects: deque[str] = deque(maxlen=_REMEMBERED)

    def in_its_case(self, lowered: str) -> str:
        """The subject with its own case: nats-py turns the server's errors into lower case."""
        return next((subject for subject in reversed(self._subjects) if subject.lower() == lowered), lowered)

    def refusal_in(self, error: Exception) -> str | None:
        """What the user may not do, if the error says so. The server reports it beside a call that gets no reply."""
        found = _PERMISSION.search(str(error).lower())
        if found is None:
            return None
        verb = "publish to" if found[1] == "publish" else "subscribe to"
        return f"the user may not {verb} {self.in_its_case(found[2])}"

    async def publish(self, subject: str, *args: Any, **options: Any) -> None:
        self._subjects.append(subject)
        await super().publish(subject, *args, **options)

    async def subscribe(self, subject: str, *args: Any, **options: Any) -> Any:
        self._subjects.append(subject)
        return await super().subscribe(subject, *args, **options)

    def _connect_command(self) -> bytes:
        # nats-py starts TLS only if the server asks for it, even for tls:// URLs, and this message has the password.
        server = self._current_server
        over = server.uri.scheme if server else ""
        encrypted = over == "wss" or (over != "ws" and self._server_info.get("tls_required"))
        if self._must_encrypt and not encrypted:
            raise NotEncrypted
        return super()._connect_command()


def security_of(access: NatsAccess) -> NatsSecurity:
    """The credentials and TLS as FastStream takes them. Reads the files; nats-py reads nkeys again at each connect.

    Raises:
        StartFailed: A file is unusable.
    """
    if access.over_websocket:
        _import_websockets()
    context = _context(access) if access.must_encrypt else None
    if access.creds is not None:
        _check_file(access.creds, "NATS_CREDS", "BEGIN USER NKEY SEED")
        return NatsCredentials.from_file(str(access.creds), ssl_context=context)
    if access.nkey_seed is not None:
        _check_file(access.nkey_seed, "NATS_NKEY_SEED_FILE", "SU")
        return NatsNKey.from_file(str(access.nkey_seed), ssl_context=context)
    if access.user is not None:
        return NatsUserPassword(access.user, access.password or "", ssl_context=context)
    if access.token is not None:
        return NatsToken(access.token, ssl_context=context)
    return NatsSecurity(ssl_context=context)


def _context(access: NatsAccess) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=access.ca)
    except (OSError, ValueError) as error:
        raise _unusable("NATS_CA_FILE", "holds no certificates in PEM") from error
    if access.cert is not None:
        try:
            # Without a password argument OpenSSL asks for one on the terminal.
            context.load_cert_chain(access.cert, access.key, password="")
        except (OSError, ValueError) as error:
            problem = "hold no certificate with its unencrypted key, both in PEM"
            raise _unusable("NATS_CERT_FILE and NATS_KEY_FILE", problem) from error
    return context


def _check_file(file: Path, variable: str, marker: str) -> None:
    """Read the file like nats-py, whose errors for a broken file name neither the file nor the variable."""
    _import_nkeys()
    import nkeys

    try:
        text = file.read_text()
        lines = text.splitlines() if marker == "SU" else text.partition(marker)[2].splitlines()[1:]
        seed = next(line for line in map(str.strip, lines) if line)
        pair = nkeys.from_seed(bytearray(seed.encode()))
        pair.wipe()
    except Exception as error:  # of a decoder, a codec or nkeys: the file has the wrong content
        raise _unusable(variable, "holds no user's nkey seed") from error


def _unusable(variable: str, problem: str) -> StartFailed:
    return StartFailed(f"{variable} {problem}", f"Correct {variable}.")


def _import_websockets() -> None:
    """Give nats-py the module that `chassis.nats` keeps out of its import."""
    import aiohttp

    setattr(transport, "aiohttp", aiohttp)  # noqa: B010 - private to nats-py


def _import_nkeys() -> None:
    """Give FastStream the module that `chassis.nats` keeps out of its import."""
    import nkeys

    setattr(faststream.nats.security, "_nkeys", nkeys)  # noqa: B010 - private to FastStream
