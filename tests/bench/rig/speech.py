"""Speech for the benchmarks, by the stack's own voice."""

import wave
from pathlib import Path

import numpy as np

from greenroom_cli.call.audio import RATE
from greenroom_cli.call.voice import speak
from greenroom_cli.stack import Stack


async def record(stack: Stack, text: str, to: Path, *, rate: int, voice: str = "Ashley") -> None:
    """Write a sentence as a wav file: mono, 16 bit, at `rate`."""
    environment = stack.environment
    url, key = environment["INWORLD_HTTP_URL"], environment["INWORLD_API_KEY"]
    speech = await speak(text, voice=voice, http_url=url, api_key=key)
    at = np.arange(len(speech.samples) * rate // RATE) * (RATE / rate)
    samples = np.interp(at, np.arange(len(speech.samples)), speech.samples).astype("<i2")
    with wave.open(str(to), "wb") as file:
        file.setparams((1, 2, rate, 0, "NONE", ""))
        file.writeframes(samples.tobytes())
