"""What the commands read."""

from pathlib import Path

import pytest

from greenroom_cli.errors import CommandError
from greenroom_cli.settings import Settings, command_environment, user_environment
from greenroom_cli.stack.state import Run, StateFolder


def test_the_environment_goes_before_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".env").write_text("GROQ_API_KEY=file\nINWORLD_API_KEY='spaced key'\nASSEMBLY_API_KEY=\n")
    monkeypatch.setenv("GROQ_API_KEY", "environment")
    monkeypatch.delenv("ASSEMBLY_API_KEY", raising=False)

    found = user_environment(tmp_path)

    assert found["GROQ_API_KEY"] == "environment"
    assert found["INWORLD_API_KEY"] == "spaced key"
    assert "ASSEMBLY_API_KEY" not in found, "an empty variable counts as unset"


def test_a_running_stack_goes_before_both(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NATS_URL", "nats://elsewhere:4222")
    state = StateFolder(tmp_path)
    with state.locked():
        state.publish(Run(1, "", {"NATS_URL": "nats://127.0.0.1:1"}))
        assert command_environment(tmp_path)["NATS_URL"] == "nats://127.0.0.1:1"

    assert command_environment(tmp_path)["NATS_URL"] == "nats://elsewhere:4222"


def test_a_variable_that_cannot_be_taken_is_named() -> None:
    with pytest.raises(CommandError, match="GREENROOM_URL is invalid"):
        Settings.of({"GREENROOM_URL": "ftp://localhost:8000"})


def test_the_gateways_own_key_serves_when_no_other_is_named() -> None:
    assert Settings.of({"GREENROOM_API_KEYS": "sha256:00, plain"}).api_key == "plain"
    assert Settings.of({"GREENROOM_API_KEYS": "plain", "GREENROOM_API_KEY": "mine"}).api_key == "mine"
    assert Settings.of({}).api_key is None


@pytest.mark.parametrize(
    ("keys", "taken"),
    [
        ("bill[billing:read],full", "full"),
        ("bill[billing:read], full[sessions+tokens+billing:read+admin]", "full"),
        ("bill[billing:read],sha256:00[admin],calls[sessions+tokens]", "calls"),
        ("first,second", "first"),
        ("odd[nothing],full", "full"),
        ("sha256:00", None),
        (" , ", None),
    ],
)
def test_of_the_gateways_keys_the_one_that_may_do_the_most_is_taken(keys: str, taken: str | None) -> None:
    assert Settings.of({"GREENROOM_API_KEYS": keys}).api_key == taken


def test_only_what_is_given_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GREENROOM_URL", "http://elsewhere:1")

    assert Settings.of({}).greenroom_url == "http://127.0.0.1:8000"


@pytest.mark.parametrize(
    "url",
    [
        *("http://[::1", "http://h:99999", "http://h:0", "http://", "http://a b", "http://a\n"),
        *("", "http:/x", "//x", "/x", "name:secret@host"),
    ],
)
def test_a_url_that_no_client_can_read_is_refused(url: str) -> None:
    with pytest.raises(CommandError, match="GREENROOM_URL is invalid: it is not a URL"):
        Settings.of({"GREENROOM_URL": url})


@pytest.mark.parametrize("url", ["http://[::1]:8000", "https://voice.example/prefix", "http://localhost"])
def test_a_url_that_clients_can_read_is_taken(url: str) -> None:
    assert Settings.of({"GREENROOM_URL": url}).greenroom_url == url


@pytest.mark.parametrize("url", ["localhost:8000", "127.0.0.1:8000", "[::1]:8000", "localhost:8000/prefix"])
def test_an_address_of_this_machine_needs_no_scheme(url: str) -> None:
    assert Settings.of({"GREENROOM_URL": url}).greenroom_url == f"http://{url}"


def test_an_address_elsewhere_needs_a_scheme_which_is_said() -> None:
    with pytest.raises(CommandError, match=r"it has no scheme: put https://"):
        Settings.of({"GREENROOM_URL": "voice.example:8000"})


@pytest.mark.parametrize("key", ["sëcret", "sec ret", "sec\nret"])
def test_a_key_that_no_header_can_carry_is_refused_without_showing_it(key: str) -> None:
    with pytest.raises(CommandError) as refused:
        Settings.of({"GREENROOM_API_KEY": key})

    assert "GREENROOM_API_KEY is invalid" in str(refused.value)
    assert "ret" not in str(refused.value)
