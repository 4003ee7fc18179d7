"""The voices that a session may have."""

from collections.abc import Set

from contracts.errors import UNKNOWN_VOICE, FieldError, Refused

_NAMED = 20


def check_voice(voice_id: str, known: Set[str] | None) -> None:
    """Refuse a voice that the provider does not have.

    Args:
        known: The provider's voices; None when the list is not available, which allows any name: a call with a wrong
            voice is better than no call.

    Raises:
        Refused: `unknown_voice`, with the first 20 voices.
    """
    if known is None or voice_id in known:
        return
    names = sorted(known)
    shown = ", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")
    raise Refused(
        UNKNOWN_VOICE,
        f"Unknown voice {voice_id!r}. Known voices: {shown}.",
        errors=(FieldError(field="voiceId", message="not a voice of the provider"),),
    )
