"""The voices: Inworld's names, with espeak-ng's sound."""

from dataclasses import dataclass
from typing import Any

from sandbox.speech.espeak import Voice


@dataclass(frozen=True)
class Speaker:
    """A voice of Inworld's, and its sound here.

    The variants are those that the recogniser understands: most of 24 tested ones had over 10 % of their words wrong.
    """

    voice: Voice
    gender: str
    description: str


SPEAKERS = {
    "Ashley": Speaker(Voice("en-us+m1", pitch=88, pitch_range=60), "female", "A warm, natural female voice"),
    "Craig": Speaker(Voice("en-us+m3", pitch=52), "male", "An older British male with a refined voice"),
    "Edward": Speaker(Voice("en-us+m1", pitch=28), "male", "A calm, steady male voice"),
    "Olivia": Speaker(Voice("en-us+f2", pitch=50), "female", "A young, upbeat female voice"),
    "Priya": Speaker(Voice("en-us+m6", pitch=85, pitch_range=70), "female", "An even-toned female voice"),
    "Wendy": Speaker(Voice("en-us+f5", pitch=60), "female", "A posh, middle-aged female voice"),
}
MODELS = frozenset({"inworld-tts-1.5-max", "inworld-tts-1.5-mini", "inworld-tts-2"})


def listed_for_tts() -> dict[str, Any]:
    """The body of GET /tts/v1/voices."""
    return {
        "voices": [
            {
                "languages": ["en"],
                "voiceId": name,
                "displayName": name,
                "description": speaker.description,
                "tags": [speaker.gender],
                "isCustom": False,
            }
            for name, speaker in SPEAKERS.items()
        ]
    }


def listed() -> dict[str, Any]:
    """The body of GET /voices/v1/voices."""
    voices = [
        {
            "name": name,
            "voiceId": name,
            "displayName": name,
            "langCode": "EN_US",
            "description": speaker.description,
            "gender": speaker.gender,
            "tags": [speaker.gender],
            "source": "SYSTEM",
        }
        for name, speaker in SPEAKERS.items()
    ]
    return {"voices": voices, "nextPageToken": "", "totalSize": len(voices)}
