"""A sandbox process, and small clients: what the tests say and hear over real sockets."""

import asyncio
import base64
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlencode

import httpx
import websockets
from websockets.asyncio.client import ClientConnection

KEY = "sandbox"
RATE = 16_000
STT_QUERY = {
    "sample_rate": RATE,
    "encoding": "pcm_s16le",
    "speech_model": "universal-3-6-pro",
    "format_turns": "true",
    "min_turn_silence": 100,
    "max_turn_silence": 100,
}


class Sandbox:
    """`python -m sandbox` on a free port, ended at the latest with the `with` block."""

    def __init__(self, folder: Path, **environment: str) -> None:
        self._port_file = folder / "port"
        command = [sys.executable, "-m", "sandbox", "--port", "0", "--port-file", str(self._port_file)]
        self.process = subprocess.Popen(command, env={**os.environ, **environment})
        self.port = self._await_port()

    def _await_port(self) -> int:
        deadline = time.monotonic() + 30
        while not self._port_file.exists():
            assert self.process.poll() is None, "the sandbox ended while it started"
            assert time.monotonic() < deadline, "the sandbox did not start within 30 s"
            time.sleep(0.05)
        return int(self._port_file.read_text())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(15) is not None

    @property
    def http(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def ws(self) -> str:
        return f"ws://127.0.0.1:{self.port}"

    @property
    def assembly_url(self) -> str:
        return f"{self.ws}/v3/ws"

    @property
    def inworld_url(self) -> str:
        return f"{self.ws}/tts/v1/voice:streamBidirectional"

    def control(self, method: str, path: str, body: Any = None) -> Any:
        response = self.request(method, f"/control/{path}", json=body)
        response.raise_for_status()
        return response.json() if response.content else None

    def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        return httpx.request(method, f"{self.http}{path}", timeout=10, **options)

    def fault(self, **fault: Any) -> None:
        self.control("POST", "faults", fault)

    def state(self) -> Any:
        return self.control("GET", "state")

    def wait_until_nothing_is_open(self) -> None:
        deadline = time.monotonic() + 10
        while any(self.state()["open"].values()) or self.state()["recognisers"]["in_use"]:
            assert time.monotonic() < deadline, "a session is still open"
            time.sleep(0.05)

    def children(self) -> list[int]:
        """The process that forks recognisers, then the recognisers."""
        first = _children(self.process.pid)
        return [*first, *(pid for parent in first for pid in _children(parent))]


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


async def speak(sandbox: Sandbox, text: str, voice: str = "Ashley", rate: int = RATE, **audio: Any) -> bytes:
    """`text` as 16-bit samples, over HTTP."""
    config = {"audioEncoding": "PCM", "sampleRateHertz": rate, **audio}
    body = {"text": text, "voiceId": voice, "modelId": "inworld-tts-1.5-max", "audioConfig": config}
    async with httpx.AsyncClient(headers={"Authorization": f"Basic {KEY}"}, timeout=20) as client:
        response = await client.post(f"{sandbox.http}/tts/v1/voice", json=body)
    response.raise_for_status()
    return base64.b64decode(response.json()["audioContent"])


@asynccontextmanager
async def listening(sandbox: Sandbox, key: str = KEY, **query: Any) -> AsyncIterator[ClientConnection]:
    """A raw streaming session."""
    url = f"{sandbox.assembly_url}?{urlencode({**STT_QUERY, **query})}"
    async with websockets.connect(url, additional_headers={"Authorization": key}) as socket:
        yield socket


async def send_audio(socket: ClientConnection, pcm: bytes, rate: int = RATE) -> None:
    """In chunks of 100 ms, with half a second of silence before and 200 ms after, as fast as the socket accepts it."""
    padded = bytes(rate) + pcm + bytes(rate // 5 * 2)
    size = rate // 10 * 2
    padded += bytes(-len(padded) % size)
    for start in range(0, len(padded), size):
        await socket.send(padded[start : start + size])


async def force_end(socket: ClientConnection, pcm: bytes) -> float:
    """Say this and, once it is heard, ask for the turn's end; returns when, on the monotonic clock."""
    await send_audio(socket, pcm)
    await next_of(socket, "SpeechStarted")
    forced = time.monotonic()
    await socket.send(json.dumps({"type": "ForceEndpoint"}))
    return forced


async def next_of(socket: ClientConnection, kind: str) -> dict[str, Any]:
    """The next message of a type (a Turn: the end of one); the test fails after 20 s."""
    async with asyncio.timeout(20):
        while True:
            message: dict[str, Any] = json.loads(await socket.recv())
            if message["type"] == kind and message.get("end_of_turn", True):
                return message


async def transcribe(sandbox: Sandbox, pcm: bytes, rate: int = RATE) -> str:
    """All that is recognised in `pcm`."""
    heard: list[str] = []
    async with listening(sandbox, sample_rate=rate) as socket:
        await send_audio(socket, pcm, rate)
        await socket.send(json.dumps({"type": "Terminate"}))
        async with asyncio.timeout(30):
            async for raw in socket:
                message = json.loads(raw)
                assert message["type"] != "Error", message
                if message["type"] == "Turn" and message["end_of_turn"]:
                    heard.append(message["transcript"])
    return " ".join(heard)
