"""deploy/docker/new_env.py fills in secrets."""

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

PATH = Path(__file__).resolve().parents[3] / "deploy" / "docker" / "new_env.py"


@pytest.fixture
def new_env() -> ModuleType:
    spec = importlib.util.spec_from_file_location("new_env", PATH)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_each_placeholder_gets_a_secret_of_its_own_and_nothing_else_changes(new_env: ModuleType) -> None:
    lines = new_env.filled("A=change-me\n# B=change-me\nC=5\nD=change-me-change-me\n").splitlines()

    values = dict(line.split("=", 1) for line in lines)
    assert (values["# B"], values["C"]) == ("change-me", "5")
    assert len(values["A"]) == len(values["D"]) == 48
    assert values["A"] != values["D"]


def test_an_env_of_an_earlier_version_gets_the_secrets_that_it_lacks_and_keeps_its_own(
    new_env: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / ".env.example").write_text("OLD=change-me\nNEW=change-me\nEMPTY=change-me\nPORT=8000\n")
    env = tmp_path / ".env"
    env.write_text("OLD=mine\nEMPTY=\n# NEW=commented out")
    env.chmod(0o600)
    monkeypatch.setattr(new_env, "ROOT", tmp_path)
    monkeypatch.setattr(new_env, "own_address", lambda: "127.0.0.1")

    new_env.main()
    first = env.read_text()
    new_env.main()

    assert env.read_text() == first, "a second time changes nothing"
    assert first.startswith("OLD=mine\nEMPTY=\n# NEW=commented out\n")
    (added,) = [line for line in first.splitlines() if line.startswith("NEW=")]
    assert len(added) == len("NEW=") + 48
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "added to .env: NEW"
    assert [line.partition(":")[0] for line in said[1:]] == [
        "chose NODE_IP=127.0.0.1",
        "chose DOCKER_LIVEKIT_URL=ws",
    ], "once"
    assert env.stat().st_mode & 0o777 == 0o600


def values(new_env: ModuleType, address: str, **given: str) -> dict[str, str]:
    return {name: value for name, (value, _) in new_env.addresses(given, address).items()}


def test_callers_of_the_network_are_given_this_machines_address(new_env: ModuleType) -> None:
    assert values(new_env, "192.168.1.5") == {"NODE_IP": "192.168.1.5", "DOCKER_LIVEKIT_URL": "ws://192.168.1.5:7880"}


def test_a_domain_is_served_with_tls_alone_and_behind_a_providers_nat_livekit_asks_for_its_address(
    new_env: ModuleType,
) -> None:
    chosen = values(new_env, "10.0.0.7", DOMAIN="voice.example.org")

    assert chosen == {
        "NODE_IP": "10.0.0.7",
        "DOMAIN": "voice.example.org",
        "TURN_DOMAIN": "turn.voice.example.org",
        "DOCKER_LIVEKIT_URL": "wss://voice.example.org",
        "PLAIN_ADDRESS": "127.0.0.1",
        "FORWARDED_ALLOW_IPS": "172.16.0.0/12,192.168.0.0/16",
        "COMPOSE_PROFILES": "tls",
        "LIVEKIT_USE_EXTERNAL_IP": "true",
    }
    assert "LIVEKIT_USE_EXTERNAL_IP" not in values(new_env, "8.8.8.8", DOMAIN="voice.example.org")
    local = values(new_env, "10.0.0.7", DOMAIN="voice.lan", LOCAL_CA="1")
    assert ("LIVEKIT_USE_EXTERNAL_IP" in local, local["LOCAL_CA"]) == (False, "true")
    public = values(new_env, "10.0.0.7", DOMAIN="voice.example.org", LOCAL_CA="false")
    assert "LOCAL_CA" not in public, "Compose takes any value for true"
    assert "TURN_DOMAIN" not in values(new_env, "10.0.0.7", DOMAIN="10.0.0.7", LOCAL_CA="1"), (
        "LiveKit refuses an address"
    )


def test_what_it_chooses_is_asked_for_by_compose_and_named_in_the_example(new_env: ModuleType) -> None:
    root = PATH.parents[2]
    chosen = set(values(new_env, "10.0.0.7", DOMAIN="a.example")) | set(
        values(new_env, "10.0.0.7", DOMAIN="a", LOCAL_CA="1")
    )

    assert chosen <= set(re.findall(r"^# (\w+)=", (root / ".env.example").read_text(), re.MULTILINE))
    assert chosen - {"COMPOSE_PROFILES"} <= set(re.findall(r"\w+", (root / "compose.yaml").read_text()))


def test_an_address_of_yesterdays_network_is_told(
    new_env: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / ".env.example").write_text("")
    (tmp_path / ".env").write_text("NODE_IP=192.0.2.7\nDOCKER_LIVEKIT_URL=ws://192.0.2.7:7880\n")
    monkeypatch.setattr(new_env, "ROOT", tmp_path)

    new_env.main()

    assert capsys.readouterr().out.startswith("NODE_IP=192.0.2.7 in .env is not an address of this machine: set it to ")
    assert new_env.is_own("127.0.0.1")


def test_an_env_from_before_there_was_a_network_is_told(
    new_env: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / ".env.example").write_text("")
    monkeypatch.setattr(new_env, "ROOT", tmp_path)
    monkeypatch.setattr(new_env, "own_address", lambda: "127.0.0.1")
    new_env.main()
    new_env.main()
    assert "serves this machine alone" not in capsys.readouterr().out

    monkeypatch.setattr(new_env, "own_address", lambda: "192.168.1.5")
    new_env.main()

    said = "NODE_IP=127.0.0.1 in .env serves this machine alone: for other callers set it to 192.168.1.5\n"
    assert capsys.readouterr().out == said
