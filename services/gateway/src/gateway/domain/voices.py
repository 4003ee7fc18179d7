"""Which voices a session may ask for."""

from collections.abc import Set

from contracts.errors import UNKNOWN_VOICE, FieldError, Refused

_NAMED = 20


def check_voice(voice_id: str, known: Set[str] | None) -> None:
    """Refuse a voice that the provider does not have.

    Args:
        voice_id: A well-formed name.
        known: The provider's voices; None when its list is not to be had, which takes any name: a call with a voice
            that may be wrong beats no call because of a list.

    Raises:
        Refused: `unknown_voice`, naming the voices there are.
    """
    if known is None or voice_id in known:
        return
    names = sorted(known)
    shown = ", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")
    raise Refused(
        UNKNOWN_VOICE,
        f"There is no voice {voice_id!r}; there are {shown}.",
        errors=(FieldError(field="voiceId", message="not a voice of the provider"),),
    )
