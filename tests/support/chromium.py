"""The system's Chromium, whose microphone is a WAV file."""

import shutil
import wave
from pathlib import Path

import numpy as np

from greenroom_cli.doctor.machine import CHROMIUM
from sandbox.speech.espeak import Espeak, Voice

BROWSER = next(filter(None, map(shutil.which, CHROMIUM)), None)
MISSING = "Chromium is missing: apt-get install chromium"


def arguments(heard: Path) -> tuple[str, ...]:
    """Its microphone plays `heard` once."""
    return (
        "--no-sandbox",
        "--disable-dev-shm-usage",
        "--use-fake-ui-for-media-stream",
        "--use-fake-device-for-media-stream",
        f"--use-file-for-fake-audio-capture={heard}%noloop",
        "--autoplay-policy=no-user-gesture-required",
        "--allow-loopback-in-peer-connection",
    )


def microphone(path: Path, text: str, *, after_s: float) -> Path:
    """A WAV file with this speech after a silence, and a minute of silence behind it."""
    spoken = Espeak().speak(text, Voice("en-us"))
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(spoken.sample_rate)
        for part in (after_s, spoken.pcm, 60.0):
            pcm = part if isinstance(part, bytes) else np.zeros(int(part * spoken.sample_rate), np.int16).tobytes()
            file.writeframes(pcm)
    return path
