"""AssemblyAI, Groq and Inworld: key, model and voice, through the providers' SDKs (Inworld has none for Python)."""

# pyright: reportUnknownMemberType=false, reportCallIssue=false

import asyncio
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any

import groq
import httpx
from assemblyai.streaming.v3 import (
    AsyncStreamingClient,
    Encoding,
    SpeechModel,
    StreamingClientOptions,
    StreamingEvents,
    StreamingParameters,
)

from contracts.api import DEFAULT_VOICE
from greenroom_cli.doctor.check import Check, Verdict
from greenroom_cli.settings import Settings

GROUP = "providers"
LIMIT_S = 10.0


async def check_providers(settings: Settings) -> list[Check]:
    """Check each provider; a missing key is only a note, since the sandbox replaces that provider."""
    return list(
        await asyncio.gather(
            _check("AssemblyAI", "ASSEMBLY_API_KEY", settings.assembly_api_key, settings, check_assembly),
            _check("Groq", "GROQ_API_KEY", settings.groq_api_key, settings, check_groq),
            _check("Inworld", "INWORLD_API_KEY", settings.inworld_api_key, settings, check_inworld),
        )
    )


async def _check(
    name: str, variable: str, key: str | None, settings: Settings, check: Callable[[Settings, str], Awaitable[Check]]
) -> Check:
    if not key:
        fix = f"set {variable} in the environment or .env to use the real one"
        return Check(GROUP, name, Verdict.NOTE, f"{variable} is not set: the sandbox replaces the provider", fix)
    try:
        async with asyncio.timeout(LIMIT_S):
            return await check(settings, key)
    except TimeoutError:
        return Check(GROUP, name, Verdict.BROKEN, f"no answer within {LIMIT_S:g} s", "check the network, try again")


async def check_assembly(settings: Settings, key: str) -> Check:
    """Open a streaming session with the agent's model: it needs a valid key, a paid account and an existing model."""
    name, host = "AssemblyAI", settings.assembly_host
    try:
        model = SpeechModel(settings.stt_model)
    except ValueError:
        known = ", ".join(model.value for model in SpeechModel)
        return Check(GROUP, name, Verdict.BROKEN, f"no model {settings.stt_model}", f"set STT_MODEL to one of {known}")
    outcome: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()

    def settle(fault: str | None) -> None:
        if not outcome.done():
            outcome.set_result(fault)

    def began(_client: Any, _event: Any) -> None:
        settle(None)

    def failed(_client: Any, error: Any) -> None:
        settle(f"{getattr(error, 'code', None) or ''} {error}".strip())

    client = AsyncStreamingClient(StreamingClientOptions(api_host=host, api_key=key, connect_timeout=LIMIT_S / 2))
    client.on(StreamingEvents.Begin, began)
    client.on(StreamingEvents.Error, failed)
    try:
        await client.connect(StreamingParameters(sample_rate=16_000, encoding=Encoding.pcm_s16le, speech_model=model))
        fault = await outcome
    finally:
        await client.disconnect(terminate=True)
    if fault is None:
        return Check(GROUP, name, Verdict.OK, f"{host}, model {model.value}")
    fix = (
        "set ASSEMBLY_API_KEY to a valid key of an account with credit"
        if _is_refusal(fault)
        else "check ASSEMBLY_BASE_URL"
    )
    return Check(GROUP, name, Verdict.BROKEN, f"{host}: {fault}", fix)


async def check_groq(settings: Settings, key: str) -> Check:
    """Look up the configured models."""
    name = "Groq"
    if settings.llm_base_url:
        return Check(GROUP, name, Verdict.NOTE, f"agents ask {settings.llm_base_url} instead", "")
    # The SDK adds the path; the agent's client does not.
    base_url = settings.groq_base_url.rstrip("/").removesuffix("/openai/v1")
    client = groq.AsyncGroq(api_key=key, base_url=base_url, timeout=LIMIT_S / 2, max_retries=0)
    try:
        # From the list, since for one model the SDK escapes the slash of names such as openai/gpt-oss-120b.
        known = {model.id for model in (await client.models.list()).data}
        found = [model for model in settings.models if model in known]
        if not found:
            fix = "set LLM_MODELS to models of https://console.groq.com/docs/models"
            gone = f"no configured model is there for this account: {', '.join(settings.models)}"
            return Check(GROUP, name, Verdict.BROKEN, gone, fix)
        if len(found) == 1 and len(settings.models) > 1:
            fix = "add a second model of https://console.groq.com/docs/models to LLM_MODELS"
            return Check(GROUP, name, Verdict.WARNING, f"only the model {found[0]} is there: it has no fallback", fix)
        return Check(GROUP, name, Verdict.OK, f"{base_url}, models {', '.join(found)}")
    except groq.AuthenticationError:
        return Check(GROUP, name, Verdict.BROKEN, f"{base_url} refuses the key", "set GROQ_API_KEY to a valid key")
    except groq.APIStatusError as error:
        return Check(GROUP, name, Verdict.BROKEN, f"{base_url} answered {error.status_code}", "try again later")
    except groq.APIConnectionError as error:
        return Check(GROUP, name, Verdict.BROKEN, f"{base_url}: {error.__cause__ or error}", "check GROQ_BASE_URL")
    finally:
        await client.close()


async def check_inworld(settings: Settings, key: str) -> Check:
    """Look up the default voice in the list of voices."""
    name, url = "Inworld", settings.inworld_http_url.rstrip("/")
    try:
        async with httpx.AsyncClient(timeout=LIMIT_S / 2, headers={"Authorization": f"Basic {key}"}) as client:
            answer = await client.get(f"{url}/voices/v1/voices")
            if answer.status_code == HTTPStatus.NOT_FOUND:  # a server with the interface from before 2026
                answer = await client.get(f"{url}/tts/v1/voices")
    except httpx.HTTPError as error:
        return Check(GROUP, name, Verdict.BROKEN, f"{url}: {error or type(error).__name__}", "check INWORLD_HTTP_URL")
    if answer.status_code in (401, 403):
        return Check(
            GROUP, name, Verdict.BROKEN, f"{url} refuses the key", "set INWORLD_API_KEY to a valid (Base64) key"
        )
    try:
        voices = {str(voice["voiceId"]) for voice in answer.json()["voices"]}
    except (ValueError, KeyError, TypeError):
        return Check(
            GROUP, name, Verdict.BROKEN, f"{url} answered {answer.status_code} without voices", "try again later"
        )
    if DEFAULT_VOICE not in voices:
        some = ", ".join(sorted(voices)[:10])
        detail = f"{settings.inworld_http_url} has no voice {DEFAULT_VOICE}, the default"
        return Check(GROUP, name, Verdict.BROKEN, detail, f"name one of its voices in each start: {some}")
    return Check(
        GROUP,
        name,
        Verdict.OK,
        f"{settings.inworld_http_url}, {len(voices)} voices, {DEFAULT_VOICE} among them",
    )


def _is_refusal(fault: str) -> bool:
    return fault.startswith(("401", "403", "1008", "4001", "4002", "4003"))
