"""The doctor asks the server at LLM_BASE_URL as an agent does."""

import socket
from collections.abc import AsyncGenerator

import pytest

from greenroom_cli.doctor import language_model
from greenroom_cli.doctor.check import Check, Verdict
from greenroom_cli.doctor.language_model import check_language_model
from tests.support.strict_llm import FIELDS, StrictServer, strict_server


@pytest.fixture(name="server")
async def _server() -> AsyncGenerator[StrictServer]:
    async with strict_server() as server:
        yield server


async def checked(url: str, models: str = "any", **more: str) -> list[Check]:
    return await check_language_model({"LLM_BASE_URL": url, "LLM_MODELS": models, **more})


async def test_without_llm_base_url_nothing_is_asked() -> None:
    assert await check_language_model({"LLM_MODELS": "any", "LLM_BASE_URL": ""}) == []


async def test_a_strict_server_gets_the_agents_fields_and_few_tokens(server: StrictServer) -> None:
    (check,) = await checked(server.url, "one,other", LLM_API_KEY="sk-1")
    assert (check.verdict, check.detail) == (Verdict.OK, f"{server.url} answers with one, other")
    assert sorted(body["model"] for body in server.asked) == ["one", "other"]
    assert {(frozenset(body), body["max_tokens"]) for body in server.asked} == {(FIELDS, 16)}
    assert server.keys == ["bearer sk-1"] * 2


@pytest.mark.parametrize(
    ("status", "fix"), [(401, "LLM_API_KEY"), (404, "LLM_MODELS"), (400, "docs/conversation.md"), (500, "log")]
)
async def test_a_refusal_is_told_with_the_beginning_of_its_message(server: StrictServer, status: int, fix: str) -> None:
    server.status, server.refusal = status, "wrong key sk-1\n\x1b[31m" + "x" * 178 + "sk-1"
    (check,) = await checked(server.url, "one,other", LLM_API_KEY="sk-1")
    assert check.verdict is Verdict.BROKEN
    told = f"{server.url}, one, other: status {status}: wrong key "
    assert check.detail == f"{told}*** [31m{'x' * 178}***"[: len(told) - len("wrong key ") + 200]
    assert fix in check.fix


async def test_a_model_that_is_not_there_is_a_warning_beside_one_that_answers(server: StrictServer) -> None:
    server.models = {"one"}
    found, gone = await checked(server.url, "one,other")
    assert (found.verdict, gone.verdict) == (Verdict.OK, Verdict.WARNING)
    assert gone.detail == f"{server.url}, other: status 404: no model"


async def test_an_address_without_the_interface_is_broken(server: StrictServer) -> None:
    server.page = "<p>Welcome</p>"
    (check,) = await checked(server.url)
    assert (check.verdict, check.detail) == (
        Verdict.BROKEN,
        f"{server.url}, any: status 200 without an answer: {server.page}",
    )


async def test_a_server_that_is_away_is_broken() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/v1"
        (check,) = await checked(url)
    assert check.verdict is Verdict.BROKEN
    assert check.detail.startswith(f"{url}, any: could not be reached: ")
    assert "LLM_BASE_URL" in check.fix


async def test_a_silent_server_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(language_model, "LIMIT_S", 0.2)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        (check,) = await checked(f"http://127.0.0.1:{silent.getsockname()[1]}/v1")
    assert check.verdict is Verdict.BROKEN
    assert "no answer within 0.2 s" in check.detail


async def test_no_models_are_told() -> None:
    (check,) = await check_language_model({"LLM_BASE_URL": "http://127.0.0.1:1/v1"})
    assert check.verdict is Verdict.BROKEN
    assert "LLM_MODELS" in check.detail
