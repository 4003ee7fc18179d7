"""Speech for the benchmarks, by the stack's own voice."""

import base64
import wave
from pathlib import Path

import httpx

from greenroom_cli.stack import Stack


async def record(stack: Stack, text: str, to: Path, *, rate: int, voice: str = "Ashley") -> None:
    """Write a sentence as a wav file: mono, 16 bit, at `rate`."""
    environment = stack.environment
    audio = {"audioEncoding": "PCM", "sampleRateHertz": rate}
    body = {"text": text, "voiceId": voice, "modelId": "inworld-tts-1.5-max", "audioConfig": audio}
    headers = {"Authorization": f"Basic {environment['INWORLD_API_KEY']}"}
    async with httpx.AsyncClient(base_url=environment["INWORLD_HTTP_URL"], headers=headers, timeout=20) as client:
        answer = (await client.post("/tts/v1/voice", json=body)).raise_for_status()
    with wave.open(str(to), "wb") as file:
        file.setparams((1, 2, rate, 0, "NONE", ""))
        file.writeframes(base64.b64decode(answer.json()["audioContent"]))
