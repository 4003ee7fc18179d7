"""LiveKit's signature of a webhook: a JWT that contains the SHA-256 of the raw body.

LiveKit's SDK checks one key pair only; here several may be valid while keys are rotated.
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jwt

from gateway.ports import BadSignature

_LEEWAY_S = 60  # for a difference between LiveKit's clock and ours; its tokens live 5 minutes


@dataclass(frozen=True)
class LiveKitSignature:
    """`ports.WebhookSignature`.

    Attributes:
        keys: Secret by API key.
    """

    keys: Mapping[str, str]

    def verify(self, body: bytes, authorization: str | None) -> None:
        if not authorization:
            raise BadSignature("the Authorization header is missing")
        try:
            unverified: dict[str, Any] = jwt.decode(  # pyright: ignore[reportUnknownMemberType]
                authorization, options={"verify_signature": False}
            )
            issuer = str(unverified.get("iss", ""))
            secret = self.keys.get(issuer)
            if secret is None:
                raise BadSignature("it was signed with an unknown API key")
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
            raise BadSignature("the token contains no hash of the body") from error
        if not hmac.compare_digest(claimed, hashlib.sha256(body).digest()):
            raise BadSignature("the token is for another body")
