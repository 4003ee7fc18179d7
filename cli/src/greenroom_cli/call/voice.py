"""The caller's voice: text to speech from the configured Inworld endpoint."""

import base64
import binascii
import json

import httpx
import numpy as np

from chassis.errors import text_of
from greenroom_cli.call.audio import RATE, Speech
from greenroom_cli.errors import CommandError

MODEL = "inworld-tts-1.5-mini"
TIMEOUT_S = 20.0
CHECK = "check INWORLD_API_KEY and INWORLD_HTTP_URL with: greenroom doctor"


async def speak(text: str, *, voice: str, http_url: str, api_key: str) -> Speech:
    """Synthesise one sentence.

    Raises:
        CommandError: The endpoint does not answer, refuses the request, or sends no audio.
    """
    body = {
        "text": text,
        "voiceId": voice,
        "modelId": MODEL,
        "audioConfig": {"audioEncoding": "PCM", "sampleRateHertz": RATE},
    }
    url = f"{http_url.rstrip('/')}/tts/v1/voice:stream"
    try:
        async with httpx.AsyncClient(timeout=TIMEOUT_S) as client:
            answer = await client.post(url, json=body, headers={"Authorization": f"Basic {api_key}"})
    except httpx.HTTPError as error:
        raise CommandError(f"no speech from {url}: {text_of(error)}", CHECK) from None
    if answer.status_code != 200:
        raise CommandError(f"{url} answered {answer.status_code}: {answer.text[:200]}", CHECK)
    try:
        pieces = [_audio(line) for line in answer.text.splitlines() if line.strip()]
    except (ValueError, KeyError, TypeError, binascii.Error):
        raise CommandError(f"{url} answered with invalid speech: {answer.text[:120]!r}", CHECK) from None
    samples = np.frombuffer(b"".join(pieces), dtype="<i2")
    if len(samples) == 0:
        raise CommandError(f"{url} answered with no audio for {text!r}", CHECK)
    return Speech(text, samples)


def _audio(line: str) -> bytes:
    message = json.loads(line)
    if "error" in message:
        raise ValueError(message["error"])
    return base64.b64decode(message["result"].get("audioContent", ""))
