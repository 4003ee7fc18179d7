"""What `call` says before the call: which sentences the sandbox knows."""

from importlib import resources

import pytest
from typer.main import get_command

from greenroom_cli.app import app
from greenroom_cli.commands import call
from greenroom_cli.errors import CommandError
from greenroom_cli.gateway import Gateway
from greenroom_cli.settings import Settings


@pytest.fixture(autouse=True)
def no_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """A gateway that answers, and a recogniser that does not."""

    async def check(_gateway: Gateway) -> None: ...

    async def connect(_settings: Settings) -> None:
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


def test_the_sentences_that_are_named_are_in_the_sandboxs_list() -> None:
    known = (resources.files("sandbox") / "corpus" / "callers.txt").read_text(encoding="utf-8").splitlines()
    named = [text.lower().rstrip("?") for text in call.SANDBOX_HEARS.split('"')[1::2]]

    assert len(named) == 3
    for text in named:
        assert text.replace("ten", "{count}").replace("anna", "{name}") in known
