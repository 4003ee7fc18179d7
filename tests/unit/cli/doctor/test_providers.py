"""A provider that is not reached: this machine's DNS, or a wrong address."""

import socket
from typing import Any

import pytest

from greenroom_cli.doctor import providers
from greenroom_cli.doctor.check import Check, Verdict
from greenroom_cli.doctor.providers import check_providers
from greenroom_cli.settings import Settings

KEYS = {"ASSEMBLY_API_KEY": "a", "GROQ_API_KEY": "g", "INWORLD_API_KEY": "i"}


@pytest.fixture
def no_dns(monkeypatch: pytest.MonkeyPatch) -> None:
    resolve = socket.getaddrinfo

    def refuses(host: Any, *rest: Any, **options: Any) -> Any:
        if host in (None, "127.0.0.1", b"127.0.0.1"):
            return resolve(host, *rest, **options)
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    monkeypatch.setattr(socket, "getaddrinfo", refuses)


async def checked(**changes: str) -> dict[str, Check]:
    return {check.name: check for check in await check_providers(Settings.of({**KEYS, **changes}))}


@pytest.mark.usefixtures("no_dns")
async def test_without_dns_all_providers_share_one_line_that_blames_no_setting() -> None:
    (check,) = (await checked()).values()

    assert (check.name, check.verdict) == ("AssemblyAI, Groq, Inworld", Verdict.BROKEN)
    assert "cannot resolve streaming.assemblyai.com, api.groq.com, api.inworld.ai" in check.detail
    assert "no DNS or no network" in check.detail
    assert "_URL" not in check.fix


@pytest.mark.usefixtures("no_dns")
async def test_a_name_of_the_users_own_choice_is_told_with_its_setting() -> None:
    found = await checked(GROQ_BASE_URL="https://api.grok.example/openai/v1")

    assert found.keys() == {"AssemblyAI, Inworld", "Groq"}
    assert "cannot resolve api.grok.example" in found["Groq"].detail
    assert "GROQ_BASE_URL" in found["Groq"].fix


@pytest.mark.usefixtures("no_dns")
async def test_a_provider_without_a_key_is_no_part_of_it() -> None:
    found = await checked(GROQ_API_KEY="")

    assert found.keys() == {"AssemblyAI, Inworld", "Groq"}
    assert found["Groq"].verdict is Verdict.NOTE


@pytest.mark.usefixtures("no_dns")
async def test_behind_a_proxy_the_name_is_the_proxys_to_resolve(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{closed.getsockname()[1]}")

        found = await checked()

    assert found.keys() == {"AssemblyAI", "Groq", "Inworld"}
    assert {check.verdict for check in found.values()} == {Verdict.BROKEN}
    assert "resolve" not in found["Groq"].detail


async def test_a_provider_that_the_sandbox_replaces_is_named_as_the_sandbox(monkeypatch: pytest.MonkeyPatch) -> None:
    async def well(_settings: Settings, _key: str) -> Check:
        return Check("providers", "AssemblyAI", Verdict.OK, "ws://127.0.0.1:1")

    async def ill(_settings: Settings, _key: str) -> Check:
        return Check("providers", "Inworld", Verdict.BROKEN, "http://127.0.0.1:1 has no voice", "name another")

    monkeypatch.setattr(providers, "check_assembly", well)
    monkeypatch.setattr(providers, "check_inworld", ill)

    sandbox = await checked(ASSEMBLY_API_KEY="sandbox", INWORLD_API_KEY="sandbox", GROQ_API_KEY="")
    real = await checked(INWORLD_API_KEY="", GROQ_API_KEY="")

    assert sandbox["AssemblyAI"].verdict is Verdict.NOTE
    assert sandbox["AssemblyAI"].detail == "the sandbox, not AssemblyAI itself: ws://127.0.0.1:1"
    assert "ASSEMBLY_API_KEY" in sandbox["AssemblyAI"].fix
    assert (sandbox["Inworld"].verdict, sandbox["Inworld"].fix) == (Verdict.BROKEN, "name another")
    assert "the sandbox, not Inworld itself" in sandbox["Inworld"].detail
    assert (real["AssemblyAI"].verdict, real["AssemblyAI"].detail) == (Verdict.OK, "ws://127.0.0.1:1")
