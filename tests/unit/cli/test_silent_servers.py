"""A server that accepts a connection and never answers: Python's error for a timeout has no text of its own."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from greenroom_cli.call import transcriber, voice
from greenroom_cli.call.transcriber import Transcriber
from greenroom_cli.doctor import providers
from greenroom_cli.doctor.providers import check_providers
from greenroom_cli.errors import CommandError
from greenroom_cli.settings import Settings
from greenroom_cli.stack import readiness


@pytest.fixture
async def port() -> AsyncIterator[int]:
    """The port of a silent server."""
    silent: list[asyncio.StreamWriter] = []

    async def accept(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        silent.append(writer)

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1]
    for writer in silent:
        writer.close()
    server.close()


async def test_a_process_that_does_not_answer_a_check_is_told_so(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readiness, "ATTEMPT_S", 0.05)
    url = f"http://127.0.0.1:{port}/ready"

    assert await readiness.says(port, b"INFO")() == f"no answer on port {port}: timed out"
    assert await readiness.serves(url)() == f"no answer from {url}: ReadTimeout"


async def test_a_provider_that_does_not_answer_is_told_so(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(voice, "TIMEOUT_S", 0.05)
    monkeypatch.setattr(transcriber, "OPEN_S", 0.05)
    monkeypatch.setattr(providers, "LIMIT_S", 0.4)
    base = f"127.0.0.1:{port}"

    with pytest.raises(CommandError, match=r"^no speech from \S+: \w"):
        await voice.speak("Hello.", voice="Edward", http_url=f"http://{base}", api_key="k")
    with pytest.raises(CommandError, match=r"^no transcription from \S+: \w"):
        await Transcriber.connect(f"ws://{base}", "k")
    (_, groq, inworld) = await check_providers(
        Settings.of(
            {"GROQ_API_KEY": "g", "GROQ_BASE_URL": f"http://{base}/openai/v1"}
            | {"INWORLD_API_KEY": "i", "INWORLD_HTTP_URL": f"http://{base}"}
        )
    )

    assert not groq.detail.rstrip().endswith(":")
    assert not inworld.detail.rstrip().endswith(":")
