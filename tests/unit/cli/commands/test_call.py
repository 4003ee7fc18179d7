"""What `call` says before the call, and when a sentence is not spoken."""

import asyncio
from collections.abc import AsyncGenerator
from importlib import resources
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest
from typer.main import get_command

from contracts.api import StartRequest
from greenroom_cli.app import app
from greenroom_cli.call.audio import Speech
from greenroom_cli.call.participant import Call, NotSpoken
from greenroom_cli.commands import call
from greenroom_cli.errors import CommandError
from greenroom_cli.gateway import Gateway
from greenroom_cli.settings import Settings


@pytest.fixture(autouse=True)
def no_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """A gateway that answers, and a recogniser that does not."""

    async def check(_gateway: Gateway) -> None: ...

    async def connect(_settings: Settings, _on_heard: object) -> None:
        raise CommandError("no recogniser")

    monkeypatch.setattr(Gateway, "check", check)
    monkeypatch.setattr(call, "_connect_ear", connect)
    monkeypatch.setenv("GREENROOM_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("INWORLD_API_KEY", "i")


@pytest.mark.parametrize("key", ["sandbox", "a-real-one"])
def test_a_caller_whom_the_sandbox_hears_is_told_which_sentences_it_knows(
    key: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ASSEMBLY_API_KEY", key)

    with pytest.raises(CommandError, match="no recogniser"):
        get_command(app).main(["call"], standalone_mode=False)

    assert (call.SANDBOX_HEARS in capsys.readouterr().out) == (key == "sandbox")


@pytest.mark.parametrize(("language", "is_warned"), [("de", True), ("en-GB", False), (None, False)])
def test_a_caller_in_another_language_is_told_that_the_sandbox_knows_english_only(
    language: str | None, is_warned: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ASSEMBLY_API_KEY", "sandbox")

    with pytest.raises(CommandError, match="no recogniser"):
        get_command(app).main(["call", *(["--language", language] if language else [])], standalone_mode=False)

    assert (call.SANDBOX_MISHEARS in capsys.readouterr().err) == is_warned


def test_the_sentences_that_are_named_are_in_the_sandboxs_list() -> None:
    known = (resources.files("sandbox") / "corpus" / "callers.txt").read_text(encoding="utf-8").splitlines()
    named = [text.lower().rstrip("?") for text in call.SANDBOX_HEARS.split('"')[1::2]]

    assert len(named) == 3
    for text in named:
        assert text.replace("ten", "{count}").replace("anna", "{name}") in known


class Line:
    """A call whose first sentence cannot be sent."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.room_closed = asyncio.get_running_loop().create_future()

    async def listen(self, _limit_s: float) -> None: ...

    async def closed(self) -> str:
        return await asyncio.shield(self.room_closed)

    async def say(self, speech: Speech) -> float:
        self.said.append(speech.text)
        if len(self.said) == 1:
            raise NotSpoken(f"{speech.text!r} was not spoken in full", "say it again")
        return 0.0


async def test_a_sentence_that_was_not_spoken_does_not_end_the_call(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(call, "WORDS_FOLLOW_S", 0)

    async def speeches() -> AsyncGenerator[Speech]:
        for text in ("Hello", "Goodbye"):
            yield Speech(text, np.zeros(1, dtype=np.int16))

    line = Line()
    await call._talk(cast(Call, line), speeches())  # pyright: ignore[reportPrivateUsage]

    assert line.said == ["Hello", "Goodbye"]
    assert capsys.readouterr().err == "'Hello' was not spoken in full; say it again\n"


async def test_an_end_that_fails_does_not_hide_why_the_call_failed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Unjoined(Line):
        async def join(self, _url: str, _token: str) -> None:
            raise CommandError("cannot join the room")

        async def leave(self) -> None: ...

    async def start(_gateway: Gateway, _request: StartRequest) -> SimpleNamespace:
        return SimpleNamespace(session_id="session_1_a", server_url="ws://livekit", token="t")

    async def end(_gateway: Gateway, _session_id: str) -> None:
        raise CommandError("NATS does not answer")

    monkeypatch.setattr(Gateway, "start", start)
    monkeypatch.setattr(Gateway, "end", end)

    gateway, line = Gateway("http://127.0.0.1:9"), cast(Call, Unjoined())
    request = StartRequest(user_name="Anna")
    with pytest.raises(CommandError, match="cannot join the room"):
        await call._hold(gateway, line, request, nothing(), asyncio.Event())  # pyright: ignore[reportPrivateUsage]

    assert "could not be ended either: NATS does not answer" in capsys.readouterr().err


async def nothing() -> AsyncGenerator[Speech]:
    for speech in ():
        yield speech
