"""The rule for secrets: long enough, and not the placeholder."""

from typing import Annotated, Final

from pydantic import AfterValidator

MIN_SECRET_BYTES: Final = 32
_PLACEHOLDER: Final = "change-me"


def is_placeholder(secret: str) -> bool:
    """Whether the value is the public one from .env.example."""
    return secret.strip().lower().startswith(_PLACEHOLDER)


def weakness(secret: str, kind: str = "a LiveKit secret") -> str | None:
    """The weakness of a LiveKit API secret, or of another one, or None; the text never contains the secret.

    Every caller holds an HS256 token signed with LiveKit's, and can guess a short secret offline.
    """
    if is_placeholder(secret):
        return f"{_PLACEHOLDER}... is the placeholder of the example; create a secret with `openssl rand -hex 32`"
    if len(secret.encode()) < MIN_SECRET_BYTES:
        return f"{kind} needs at least {MIN_SECRET_BYTES} bytes; create one with `openssl rand -hex 32`"
    return None


def _strong(secret: str) -> str:
    if (problem := weakness(secret)) is not None:
        raise ValueError(problem)
    return secret


LiveKitSecret = Annotated[str, AfterValidator(_strong)]
"""The type of a setting for a LiveKit API secret."""
