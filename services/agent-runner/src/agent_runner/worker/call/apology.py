"""The apology that ends a call after a provider failure, as stored audio that needs no provider.

A worker renders it once for each voice, during a call that goes well, and stores it beside the node's log files.
Without a rendering it plays APOLOGY_FILE, else the three tones with which telephone networks announce a failed call.
"""

# pyright: standard

import asyncio
import base64
import hashlib
import io
import os
import wave
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import aiohttp
import numpy as np
import soxr

from agent_runner.agent_config import AgentConfig
from agent_runner.worker.providers.spoken_language import for_inworld
from chassis import logs

_RENDER_S: Final = 15.0
_LONGEST_S: Final = 30.0
_TONES_HZ: Final = (950, 1400, 1800)  # the special information tone of ITU-T E.180
_TONE_S: Final = 0.33
_LOUDNESS: Final = 0.25
_FADE_S: Final = 0.01

log = logs.get_logger(__name__)


class Apology:
    """The apology in one voice and language, mono PCM of 16 bits at the rate of the call.

    Attributes:
        text: The sentence; empty: none.
    """

    def __init__(self, config: AgentConfig, voice_id: str, folder: Path | None, language: str | None = None) -> None:
        """Locate the rendering.

        Args:
            folder: The folder of the renderings; None: render nothing.
            language: The session's.
        """
        self._config = config
        self._voice_id = voice_id
        self.text = config.lines_in(language).apology
        self._language = for_inworld(language)
        how = (config.tts_model, config.speed_of(voice_id), config.tts_sample_rate, self._language)
        said = (self.text, voice_id, *how)
        name = hashlib.sha256(repr(said).encode()).hexdigest()[:32]
        self._file = None if folder is None else folder / f"apology-{name}.wav"

    @property
    def is_rendered(self) -> bool:
        """Whether a rendering in the agent's voice is stored."""
        return self._file is not None and self._file.exists()

    async def render(self) -> None:
        """Have the provider speak the apology and store it, unless it is stored already; log errors, raise none."""
        if self._file is None or self.is_rendered or not self.text:
            return
        try:
            async with asyncio.timeout(_RENDER_S):
                audio = await self._ask()
            _read(io.BytesIO(audio), self._config.tts_sample_rate)
            self._file.parent.mkdir(exist_ok=True)
            draft = self._file.with_suffix(f".{os.getpid()}")
            draft.write_bytes(audio)
            draft.replace(self._file)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError, EOFError, wave.Error) as error:
            log.warning("apology.not_rendered", error=f"{type(error).__name__}: {error}"[:300])

    def audio(self) -> tuple[bytes, str]:
        """The rendering, else APOLOGY_FILE, else the tones; and the words in it."""
        for file in (self._file, self._config.apology_file):
            if file is not None and file.exists():
                try:
                    return _read(file, self._config.tts_sample_rate), self.text
                except (OSError, ValueError, EOFError, wave.Error) as error:
                    log.error("apology.unreadable", file=str(file), error=str(error))
        return tones(self._config.tts_sample_rate), ""

    async def _ask(self) -> bytes:
        config = self._config
        body = {
            "text": self.text,
            "voiceId": self._voice_id,
            "modelId": config.tts_model,
            "temperature": config.tts_temperature,
            **({"language": self._language} if self._language else {}),
            "audioConfig": {
                "audioEncoding": "LINEAR16",
                "sampleRateHertz": config.tts_sample_rate,
                "speakingRate": config.speed_of(self._voice_id),
            },
        }
        url = f"{config.inworld_http_url.rstrip('/')}/tts/v1/voice"
        key = config.inworld_api_key.get_secret_value()
        async with (
            aiohttp.ClientSession(headers={"Authorization": f"Basic {key}"}, raise_for_status=True) as http,
            http.post(url, json=body, allow_redirects=False) as answer,
        ):
            found: Any = await answer.json()
        if not isinstance(found, Mapping) or not isinstance(found.get("audioContent"), str):
            raise ValueError("the answer contains no audio")
        return base64.b64decode(found["audioContent"])


def tones(rate: int) -> bytes:
    """Three rising tones and a pause, twice."""
    at = np.arange(round(_TONE_S * rate)) / rate
    fade = np.minimum(1, np.minimum(at, at[::-1]) / _FADE_S)
    notes = [_LOUDNESS * fade * np.sin(2 * np.pi * hz * at) for hz in _TONES_HZ]
    once = np.concatenate([*notes, np.zeros(round(0.5 * rate))])
    return (np.tile(once, 2) * 32_767).astype("<i2").tobytes()


def _read(file: Path | io.BytesIO, rate: int) -> bytes:
    """A WAV file's samples, resampled to this rate.

    Raises:
        ValueError: The file is not mono with 16 bits, or longer than 30 s.
    """
    with wave.open(file if isinstance(file, io.BytesIO) else str(file)) as found:
        if (found.getnchannels(), found.getsampwidth()) != (1, 2):
            raise ValueError("a WAV file must be mono with samples of 16 bits")
        if found.getnframes() > _LONGEST_S * found.getframerate():
            raise ValueError(f"longer than {_LONGEST_S:g} s")
        samples, own_rate = np.frombuffer(found.readframes(found.getnframes()), "<i2"), found.getframerate()
    if own_rate != rate:
        samples = soxr.resample(samples, own_rate, rate)
    return samples.astype("<i2").tobytes()
