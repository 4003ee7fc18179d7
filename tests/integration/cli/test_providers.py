"""The caller's voice and ear and the doctor's look at the providers, against the sandbox and its wire protocols."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest

from greenroom_cli.call.audio import RATE
from greenroom_cli.call.transcriber import CHUNK_SAMPLES, Heard, Transcriber
from greenroom_cli.call.voice import speak
from greenroom_cli.doctor.check import Check, Verdict
from greenroom_cli.doctor.providers import check_providers
from greenroom_cli.errors import CommandError
from greenroom_cli.settings import Settings
from greenroom_cli.stack import Part, StackOptions, running_stack
from greenroom_cli.stack.ports import free_ports


@pytest.fixture
async def environment(tmp_path: Path) -> AsyncIterator[dict[str, str]]:
    async with running_stack(tmp_path, StackOptions(parts={Part.SANDBOX})) as stack:
        yield dict(stack.environment)


async def providers(environment: dict[str, str]) -> dict[str, Check]:
    return {check.name: check for check in await check_providers(Settings.of(environment))}


async def test_what_is_spoken_is_heard(environment: dict[str, str]) -> None:
    settings = Settings.of(environment)
    told: list[Heard] = []
    speech = await speak("What time is it?", voice="Edward", http_url=settings.inworld_http_url, api_key="sandbox")
    assert 0.5 < speech.seconds < 3

    ear = await Transcriber.connect(settings.assembly_host, "sandbox", told.append)
    silence = np.zeros(RATE, dtype=np.int16)
    audio = np.concatenate([silence, speech.samples, silence])
    for start in range(0, len(audio), CHUNK_SAMPLES):
        ear.feed(audio[start : start + CHUNK_SAMPLES])
        await asyncio.sleep(CHUNK_SAMPLES / RATE)
    await ear.end_audio()

    assert told == ear.heard
    assert ear.between(0, 60_000).lower().strip("?.") == "what time is it"
    assert ear.between(0, 900) == ""
    assert ear.heard[0].start_ms >= 800


async def test_a_wrong_key_is_named_where_one_speaks_and_where_one_hears(environment: dict[str, str]) -> None:
    settings = Settings.of(environment)

    with pytest.raises(CommandError, match="answered 401") as mute:
        await speak("Hello.", voice="Edward", http_url=settings.inworld_http_url, api_key="wrong")
    with pytest.raises(CommandError, match="refused the connection: 401") as deaf:
        await Transcriber.connect(settings.assembly_host, "wrong")

    assert "INWORLD_API_KEY" in mute.value.fix
    assert "ASSEMBLY_API_KEY" in deaf.value.fix


async def test_nobody_there_is_named(environment: dict[str, str]) -> None:
    port = next(free_ports())

    with pytest.raises(CommandError, match="no speech from"):
        await speak("Hello.", voice="Edward", http_url=f"http://127.0.0.1:{port}", api_key="sandbox")
    with pytest.raises(CommandError, match="no transcription from"):
        await Transcriber.connect(f"ws://127.0.0.1:{port}", "sandbox")


async def test_the_doctor_finds_the_sandbox_well_and_the_retired_model_gone(environment: dict[str, str]) -> None:
    checks = await providers(environment)

    assert {check.verdict for check in checks.values()} == {Verdict.NOTE}
    for name, check in checks.items():
        assert check.detail.startswith(f"the sandbox, not {name} itself: "), check
        assert "to use the real one" in check.fix
    # As Groq itself since 2026-08-16: the first default model is gone, two are there.
    assert "models openai/gpt-oss-120b, openai/gpt-oss-20b" in checks["Groq"].detail


async def test_one_model_has_no_fallback_and_none_is_broken(environment: dict[str, str]) -> None:
    one = {**environment, "LLM_MODEL": "openai/gpt-oss-20b", "LLM_FALLBACK_MODEL": "gone"}
    assert (await providers(one))["Groq"].verdict is Verdict.WARNING

    gone = (await providers({**environment, "LLM_MODEL": "gone", "LLM_FALLBACK_MODEL": "gone-too"}))["Groq"]
    assert gone.verdict is Verdict.BROKEN
    assert "LLM_MODELS" in gone.fix


async def test_groq_is_not_asked_when_another_server_is_configured(environment: dict[str, str]) -> None:
    assert "Groq" not in await providers({**environment, "LLM_BASE_URL": "http://127.0.0.1:1/v1"})


@pytest.mark.parametrize(
    ("variable", "name"), [("ASSEMBLY_API_KEY", "AssemblyAI"), ("GROQ_API_KEY", "Groq"), ("INWORLD_API_KEY", "Inworld")]
)
async def test_the_doctor_names_a_wrong_key(environment: dict[str, str], variable: str, name: str) -> None:
    check = (await providers({**environment, variable: "wrong"}))[name]

    assert check.verdict is Verdict.BROKEN
    assert variable in check.fix


async def test_an_unknown_speech_model_is_broken(environment: dict[str, str]) -> None:
    check = (await providers({**environment, "STT_MODEL": "nano"}))["AssemblyAI"]

    assert check.verdict is Verdict.BROKEN
    assert "universal-3-6-pro" in check.fix


async def test_unreachable_providers_are_broken() -> None:
    port = next(free_ports())
    environment = {
        **dict.fromkeys(("ASSEMBLY_API_KEY", "GROQ_API_KEY", "INWORLD_API_KEY"), "key"),
        "ASSEMBLY_BASE_URL": f"ws://127.0.0.1:{port}/v3/ws",
        "GROQ_BASE_URL": f"http://127.0.0.1:{port}/openai/v1",
        "INWORLD_HTTP_URL": f"http://127.0.0.1:{port}",
    }

    checks = await providers(environment)

    assert {check.verdict for check in checks.values()} == {Verdict.BROKEN}
    assert all("BASE_URL" in check.fix or "HTTP_URL" in check.fix for check in checks.values())


async def test_without_keys_the_sandbox_is_named() -> None:
    checks = await providers({})

    assert {check.verdict for check in checks.values()} == {Verdict.NOTE}
    assert all("sandbox" in check.detail for check in checks.values())
