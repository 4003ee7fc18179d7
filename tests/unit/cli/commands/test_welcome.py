"""What a started stack tells its user to do, as lines that can be pasted."""

import shlex
from pathlib import Path

import pytest

from greenroom_cli.commands.welcome import show_addresses, show_what_next, where

URL = "http://127.0.0.1:8000"


def test_without_keys_the_request_has_no_authorization(capsys: pytest.CaptureFixture[str]) -> None:
    show_addresses(URL, {})

    said = capsys.readouterr().out
    assert f"console    {URL}/console\n" in said
    assert "key" not in said
    assert f"curl -X POST {URL}/orchestrator/session/start" in said
    assert '-d \'{"userName": "Anna"}\'' in said


def test_a_configured_key_is_shown_and_sent(capsys: pytest.CaptureFixture[str]) -> None:
    show_addresses(URL, {"GREENROOM_API_KEYS": "bill[billing:read],secret-key"})

    said = capsys.readouterr().out
    assert "  key        secret-key\n" in said
    assert "-H 'authorization: Bearer secret-key'" in said


def test_of_keys_known_by_their_hash_none_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    show_addresses(URL, {"GREENROOM_API_KEYS": f"sha256:{'0' * 64}"})

    said = capsys.readouterr().out
    assert "only hashes" in said
    assert "0000" not in said


@pytest.mark.parametrize(
    ("state", "environment", "option"),
    [
        (".greenroom", {}, ""),
        ("/var/lib/my stack", {}, " --state '/var/lib/my stack'"),
        ("/x", {"GREENROOM_URL": "http://elsewhere"}, " --state /x"),
    ],
)
def test_a_command_names_the_folder_where_it_must(state: str, environment: dict[str, str], option: str) -> None:
    assert where(Path(state), environment) == option


def test_what_next_names_the_call_and_how_to_find_the_stack(capsys: pytest.CaptureFixture[str]) -> None:
    show_what_next(URL, "session_1_a", " --state /x")

    said = capsys.readouterr().out
    assert f"{URL}/console/sessions/session_1_a" in said
    assert "transcript session_1_a --state /x" in said
    assert len(said.splitlines()) < 24  # one screen


def test_the_request_is_one_line_that_a_shell_takes(capsys: pytest.CaptureFixture[str]) -> None:
    show_addresses(URL, {})

    line = next(line for line in capsys.readouterr().out.splitlines() if "curl" in line)
    assert "\\" not in line
    assert shlex.split(line)[-1] == '{"userName": "Anna"}'
