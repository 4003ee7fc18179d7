"""Which secrets are too weak to sign LiveKit's tokens with: one rule for every part that reads one."""

from typing import Annotated, Final

from pydantic import AfterValidator

MIN_SECRET_BYTES: Final = 32
_PLACEHOLDER: Final = "change-me"


def is_placeholder(secret: str) -> bool:
    """Whether the value is the one that .env.example shows, which everybody knows."""
    return secret.strip().lower().startswith(_PLACEHOLDER)


def weakness(secret: str) -> str | None:
    """What is wrong with a secret that signs LiveKit's tokens, or None; the text never shows the secret.

    Every caller holds an HS256 token made with it, and can search for a short secret offline.
    """
    if is_placeholder(secret):
        return f"{_PLACEHOLDER}... is the example's placeholder; make a secret with `openssl rand -hex 32`"
    if len(secret.encode()) < MIN_SECRET_BYTES:
        return f"a LiveKit secret has at least {MIN_SECRET_BYTES} bytes; make one with `openssl rand -hex 32`"
    return None


def _strong(secret: str) -> str:
    if (problem := weakness(secret)) is not None:
        raise ValueError(problem)
    return secret


LiveKitSecret = Annotated[str, AfterValidator(_strong)]
"""A setting that holds a LiveKit API secret."""
