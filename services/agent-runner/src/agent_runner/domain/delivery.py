"""Emotion tags: the model writes one dialect, each voice model is sent its own, and transcripts have none."""

import re
from typing import Final

EMOTIONS: Final = ("happy", "sad", "angry", "surprised", "fearful", "disgusted")
"""The only tags that the language model may use, written as [happy]."""

TAG: Final = re.compile(rf"\[\s*({'|'.join(EMOTIONS)})\s*\]", re.IGNORECASE)

_STEERED: Final = {
    "happy": "say happily",
    "sad": "say sadly",
    "angry": "say angrily",
    "surprised": "say with surprise",
    "fearful": "say fearfully",
    "disgusted": "say with disgust",
}
"""TTS-2 takes instructions in plain words; the models before it may read such an instruction aloud."""


def without_tags(text: str) -> str:
    """The words of `text`, as the caller hears them."""
    return " ".join(TAG.sub(" ", text).split()) if TAG.search(text) else text


def has_words(text: str) -> bool:
    """Whether a voice can say anything of `text`: a letter or a digit outside its tags."""
    return any(character.isalnum() for character in TAG.sub("", text))


def tag_for(model: str, text: str) -> str:
    """The tag to send before a sentence, in the dialect of the voice model; empty when the sentence has none.

    A tag counts for the whole sentence and the first one wins: the 1.5 models take a single one, at the start.

    Args:
        model: Inworld's name of the voice model.
        text: The sentence with its tags.
    """
    found = TAG.search(text)
    if found is None:
        return ""
    emotion = found.group(1).lower()
    return f"[{emotion if '-1' in model else _STEERED[emotion]}] "
