"""LiveKit's signature of a webhook: a JWT over the SHA-256 of the raw body."""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jwt

from gateway.ports import BadSignature

_LEEWAY_S = 60  # between LiveKit's clock and ours; its tokens live 5 minutes


@dataclass(frozen=True)
class LiveKitSignature:
    """Checks webhooks against our API keys.

    Attributes:
        keys: Secret by API key; several while keys are rotated.
    """

    keys: Mapping[str, str]

    def verify(self, body: bytes, authorization: str | None) -> None:
        """Check that a webhook was signed with one of our keys.

        Args:
            body: The bytes as they came: a body that was parsed and written again has another hash.
            authorization: The header: the JWT itself, without `Bearer`.

        Raises:
            BadSignature: The header is missing, or the token, its key, its time or its hash does not hold.
        """
        _verify(body, authorization, self.keys)


def _verify(body: bytes, authorization: str | None, keys: Mapping[str, str]) -> None:
    if not authorization:
        raise BadSignature("there is no Authorization header")
    try:
        unverified: dict[str, Any] = jwt.decode(  # pyright: ignore[reportUnknownMemberType]
            authorization, options={"verify_signature": False}
        )
        issuer = str(unverified.get("iss", ""))
        secret = keys.get(issuer)
        if secret is None:
            raise BadSignature("it was signed with an API key that we do not know")
        claims: dict[str, Any] = jwt.decode(  # pyright: ignore[reportUnknownMemberType]
            authorization,
            secret,
            algorithms=["HS256"],
            issuer=issuer,
            leeway=_LEEWAY_S,
            options={"require": ["exp", "iss"]},
        )
    except jwt.ExpiredSignatureError as error:
        raise BadSignature("the token has expired") from error
    except jwt.InvalidTokenError as error:
        raise BadSignature("the token is not valid") from error
    try:
        claimed = base64.b64decode(str(claims.get("sha256", "")), validate=True)
    except binascii.Error as error:
        raise BadSignature("the token names no hash of the body") from error
    if not hmac.compare_digest(claimed, hashlib.sha256(body).digest()):
        raise BadSignature("the token is of another body")
