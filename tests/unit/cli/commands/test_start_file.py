"""`call --start`: the body of the start from a file, with the options over it."""

from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from greenroom_cli.app import app
from greenroom_cli.commands import call
from greenroom_cli.errors import CommandError


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The bodies with which a call would start."""
    bodies: list[Any] = []

    async def place(_settings: object, request: object, *_: object) -> None:
        bodies.append(request)

    monkeypatch.setattr(call, "_call", place)
    monkeypatch.setenv("GREENROOM_URL", "http://127.0.0.1:9")
    return bodies


def run(*words: str) -> None:
    get_command(app).main(["call", *words], standalone_mode=False)


def test_options_replace_the_files_fields_and_no_default_does(tmp_path: Path, started: list[Any]) -> None:
    file = tmp_path / "start.json"
    file.write_text('{"userName": "Anna", "voiceId": "Craig", "endCall": true, "noSuchField": 1}')

    run("--start", str(file), "--voice", "Ashley", "--language", "de")
    file.write_text("{}")
    run("--start", str(file))

    assert started == [
        {"userName": "Anna", "voiceId": "Ashley", "endCall": True, "noSuchField": 1, "language": "de"},
        {"userName": "Grace"},
    ]


@pytest.mark.parametrize("text", [b'{"userName": ', b"[1]", b"\xff"])
def test_what_is_no_json_object_goes_to_the_gateway_as_it_is(text: bytes, tmp_path: Path, started: list[Any]) -> None:
    file = tmp_path / "start.json"
    file.write_bytes(text)

    run("--start", str(file))

    assert started == [text]


def test_a_file_that_is_not_there_is_named(tmp_path: Path, started: list[Any]) -> None:
    with pytest.raises(CommandError, match=r"cannot read .*no\.json: No such file"):
        run("--start", str(tmp_path / "no.json"))

    assert not started
