"""The JWTs of a NATS server in operator mode: one operator, its system account, and an account with one user."""

# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false

import base64
import json
from dataclasses import dataclass
from os import urandom
from typing import Any, cast

import nkeys

_LIMITS = {"subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "conn": -1, "leaf": -1}
_STORAGE = {"mem_storage": -1, "disk_storage": -1, "streams": -1, "consumer": -1}


@dataclass(frozen=True)
class Operator:
    """
    Attributes:
        config: For nats-server.
        creds: A credentials file's text.
    """

    config: str
    creds: str


def operator() -> Operator:
    """Regenerate the keys and JWTs."""
    operator, system, account, user = (_pair(kind) for kind in ("O", "A", "A", "U"))
    accounts = {
        system: _jwt("SYS", "account", operator, system, limits=_LIMITS),
        account: _jwt("APP", "account", operator, account, limits=_LIMITS | _STORAGE),
    }
    operator_jwt = _jwt("house", "operator", operator, operator, system_account=_public(system))
    preload = "\n".join(f"{_public(pair)}: {jwt}" for pair, jwt in accounts.items())
    user_jwt = _jwt("bob", "user", account, user, subs=-1, data=-1, payload=-1)
    return Operator(
        config=f"operator: {operator_jwt}\nresolver: MEMORY\nresolver_preload {{\n{preload}\n}}",
        creds=(
            f"-----BEGIN NATS USER JWT-----\n{user_jwt}\n------END NATS USER JWT------\n\n"
            f"-----BEGIN USER NKEY SEED-----\n{_seed(user).decode()}\n------END USER NKEY SEED------\n"
        ),
    )


def user_key() -> tuple[bytes, str]:
    """A user's seed and public key."""
    pair = _pair("U")
    return _seed(pair), _public(pair)


def _pair(kind: str) -> nkeys.KeyPair:
    prefix = {"O": nkeys.PREFIX_BYTE_OPERATOR, "A": nkeys.PREFIX_BYTE_ACCOUNT, "U": nkeys.PREFIX_BYTE_USER}[kind]
    return nkeys.from_seed(bytearray(nkeys.encode_seed(urandom(32), prefix)))


def _public(pair: nkeys.KeyPair) -> str:
    return cast(bytes, pair.public_key).decode()  # nkeys declares another type


def _seed(pair: nkeys.KeyPair) -> bytes:
    return cast(bytes, pair.seed)


def _jwt(name: str, kind: str, issuer: nkeys.KeyPair, subject: nkeys.KeyPair, **claims: Any) -> str:
    body = {
        "iss": _public(issuer),
        "sub": _public(subject),
        "name": name,
        "iat": 1_700_000_000,
        "jti": name,
        "nats": {"type": kind, "version": 2, **claims},
    }
    signed = f"{_encoded({'typ': 'JWT', 'alg': 'ed25519-nkey'})}.{_encoded(body)}"
    signature = base64.urlsafe_b64encode(issuer.sign(signed.encode())).decode().rstrip("=")
    return f"{signed}.{signature}"


def _encoded(part: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=")
