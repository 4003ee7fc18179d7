"""The signature of a call of a tool, as https://www.standardwebhooks.com has it. Pure."""

import base64
import binascii
import hashlib
import hmac
from typing import Final

PREFIX: Final = "whsec_"
_LEAST_BYTES, _MOST_BYTES = 24, 64


def secret_bytes(secret: str) -> bytes:
    """The key in a secret of the form `whsec_<Base64>`.

    Raises:
        ValueError: It has another form, or not 24 to 64 bytes.
    """
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except binascii.Error:
        key = b""
    if not secret.startswith(PREFIX) or not _LEAST_BYTES <= len(key) <= _MOST_BYTES:
        raise ValueError(f"a secret is {PREFIX} and the Base64 of {_LEAST_BYTES} to {_MOST_BYTES} random bytes")
    return key


def signed(secrets: tuple[str, ...], message_id: str, at_s: int, body: str) -> dict[str, str]:
    """The three headers, with a signature for each secret; none without a secret.

    Args:
        message_id: The same for each repetition of the request.
        at_s: Unix time.
    """
    if not secrets:
        return {}
    content = f"{message_id}.{at_s}.{body}".encode()
    digests = (hmac.digest(secret_bytes(secret), content, hashlib.sha256) for secret in secrets)
    signatures = " ".join(f"v1,{base64.b64encode(digest).decode()}" for digest in digests)
    return {"webhook-id": message_id, "webhook-timestamp": str(at_s), "webhook-signature": signatures}
