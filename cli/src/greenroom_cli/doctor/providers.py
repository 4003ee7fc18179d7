"""AssemblyAI, Groq and Inworld: key, model and voice, through the providers' SDKs (Inworld has none for Python)."""

# pyright: reportUnknownMemberType=false, reportCallIssue=false

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
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

from chassis.errors import text_of
from contracts.api import DEFAULT_VOICE
from greenroom_cli.doctor.check import Check, Verdict
from greenroom_cli.doctor.names import unresolved
from greenroom_cli.settings import Settings
from greenroom_cli.stack.providers import SANDBOX_KEY

GROUP = "providers"
LIMIT_S = 10.0


@dataclass(frozen=True)
class _Provider:
    """A provider, the settings of its key and address, and its check."""

    name: str
    key: str
    url: str
    check: Callable[[Settings, str], Awaitable[Check]]


@dataclass(frozen=True)
class _Unresolved:
    """A provider at its default address, whose host this machine cannot resolve."""

    name: str
    host: str


class _Unreached(Exception):
    """The provider's server cannot be reached, or does not speak the provider's protocol; the text says how."""


async def check_providers(settings: Settings) -> list[Check]:
    """Check each provider; a missing key is only a note, since the sandbox replaces that provider.

    Providers whose hosts this machine cannot resolve are one check, since they have one cause. With LLM_BASE_URL agents
    do not ask Groq.
    """
    providers = [
        _Provider("AssemblyAI", "assembly_api_key", "assembly_base_url", check_assembly),
        *([] if settings.llm_base_url else [_Provider("Groq", "groq_api_key", "groq_base_url", check_groq)]),
        _Provider("Inworld", "inworld_api_key", "inworld_http_url", check_inworld),
    ]
    found = await asyncio.gather(*(_check(provider, settings) for provider in providers))
    without_name = [one for one in found if isinstance(one, _Unresolved)]
    checks = [one for one in found if isinstance(one, Check)]
    if not without_name:
        return checks
    others_are_reached = any(check.verdict is Verdict.OK for check in checks)
    return [_no_names(without_name, others_are_reached=others_are_reached), *checks]


async def _check(provider: _Provider, settings: Settings) -> Check | _Unresolved:
    key: str | None = getattr(settings, provider.key)
    real = f"set {provider.key.upper()} in the environment or .env to use the real one"
    if not key:
        detail = f"{provider.key.upper()} is not set: the sandbox replaces the provider"
        return Check(GROUP, provider.name, Verdict.NOTE, detail, real)
    found = await _asked(provider, settings, key)
    if key != SANDBOX_KEY or isinstance(found, _Unresolved) or found.verdict is Verdict.NOTE:
        return found
    found = replace(found, detail=f"the sandbox, not {provider.name} itself: {found.detail}")
    return replace(found, verdict=Verdict.NOTE, fix=real) if found.verdict is Verdict.OK else found


async def _asked(provider: _Provider, settings: Settings, key: str) -> Check | _Unresolved:
    try:
        async with asyncio.timeout(LIMIT_S):
            return await provider.check(settings, key)
    except TimeoutError:
        detail, fix = f"no answer within {LIMIT_S:g} s", "check the network, try again"
    except _Unreached as error:
        detail, fix = str(error), f"check {provider.url.upper()}"
    url: str = getattr(settings, provider.url)
    host = await unresolved(url)
    if host is not None and url == Settings.model_fields[provider.url].default:
        return _Unresolved(provider.name, host)
    if host is not None:
        detail, fix = f"this machine cannot resolve {host}", f"check {provider.url.upper()}, or the DNS"
    return Check(GROUP, provider.name, Verdict.BROKEN, detail, fix)


def _no_names(providers: Sequence[_Unresolved], *, others_are_reached: bool) -> Check:
    names = ", ".join(provider.name for provider in providers)
    hosts = ", ".join(provider.host for provider in providers)
    cause = "its DNS blocks or does not know the name" if others_are_reached else "it has no DNS or no network"
    detail = f"this machine cannot resolve {hosts}: {cause}"
    fix = "check its network and DNS (/etc/resolv.conf); behind a proxy set HTTPS_PROXY"
    return Check(GROUP, names, Verdict.BROKEN, detail, fix)


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
    if not _is_refusal(fault):
        raise _Unreached(f"{host}: {fault}")
    fix = "set ASSEMBLY_API_KEY to a valid key of an account with credit"
    return Check(GROUP, name, Verdict.BROKEN, f"{host}: {fault}", fix)


async def check_groq(settings: Settings, key: str) -> Check:
    """Look up the configured models."""
    name = "Groq"
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
        raise _Unreached(f"{base_url}: {str(error.__cause__ or '') or error}") from None
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
        raise _Unreached(f"{url}: {text_of(error)}") from None
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
