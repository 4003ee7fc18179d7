"""The sandbox of a stack, as the benchmarks direct it."""

import base64
from typing import Any

import httpx
import numpy as np

from .talker import RATE
from .words import Spoken

KEY = {"Authorization": "Basic sandbox"}


class Sandbox:
    """Its controls.

    Args:
        client: With the sandbox's address as its base URL.
    """

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    async def reply(self, text: str) -> None:
        """What the model says next."""
        await self._post("control/replies", {"replies": [text]})

    async def hears_no_words(self) -> None:
        """The recogniser makes no words of any sound, until `reset`."""
        await self._post("control/faults", {"service": "assemblyai", "kind": "unheard"})

    async def reset(self) -> None:
        """Forget faults and replies."""
        await self._post("control/reset", {})

    async def speaks(self, sentence: str) -> Spoken:
        """A sentence as the agent's voice says it."""
        body: dict[str, Any] = {
            "text": sentence,
            "voiceId": "Ashley",
            "modelId": "inworld-tts-1.5-max",
            "timestampType": "WORD",
            "audioConfig": {"audioEncoding": "PCM", "sampleRateHertz": RATE},
        }
        content = (await self._post("tts/v1/voice", body)).json()
        aligned = content["timestampInfo"]["wordAlignment"]
        words = zip(aligned["words"], aligned["wordStartTimeSeconds"], aligned["wordEndTimeSeconds"], strict=True)
        return Spoken(np.frombuffer(base64.b64decode(content["audioContent"]), np.int16), list(words))

    async def _post(self, path: str, body: object) -> httpx.Response:
        answer = await self._client.post(f"/{path}", json=body, headers=KEY)
        return answer.raise_for_status()
