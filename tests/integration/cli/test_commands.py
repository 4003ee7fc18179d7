"""The command as users run it: exit codes, one-line errors, and a stack that comes and goes."""

import json
import os
import socket
from pathlib import Path

import pytest

from greenroom_cli.stack.ports import free_ports
from tests.integration.cli.running import greenroom


def test_the_version_is_told(tmp_path: Path) -> None:
    result = greenroom("--version", folder=tmp_path)

    assert result.returncode == 0
    assert result.stdout.startswith("greenroom 0.")


@pytest.mark.parametrize(
    "words",
    [
        ("nodes",),
        ("nodes", "drain", "n1"),
        ("sessions",),
        ("sessions", "show", "session_1_a"),
        ("bill", "session_1_a"),
        ("end", "session_1_a"),
    ],
)
def test_without_a_gateway_each_command_says_so_in_one_line(words: tuple[str, ...], tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{next(free_ports())}"

    result = greenroom(*words, folder=tmp_path, GREENROOM_URL=url)

    assert result.returncode == 1
    assert result.stderr.count("\n") == 1
    assert f"no gateway at {url}" in result.stderr
    assert "greenroom up" in result.stderr


@pytest.mark.parametrize(
    ("words", "option"),
    [
        (("call", "--voice", "../x"), "--voice '../x'"),
        (("call", "--user", ""), "--user ''"),
        (("call", "--system-prompt", ""), "--system-prompt ''"),
        (("demo", "--voice", "a;b"), "--voice 'a;b'"),
    ],
)
def test_an_option_that_no_start_can_have_is_named_in_one_line(
    words: tuple[str, ...], option: str, tmp_path: Path
) -> None:
    result = greenroom(*words, folder=tmp_path)

    assert result.returncode == 1
    assert result.stderr.startswith(f"greenroom: {option} ")
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("words", [("call",), ("demo", "--url", "{url}")])
def test_a_call_without_a_gateway_says_so_and_asks_for_no_key(words: tuple[str, ...], tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{next(free_ports())}"

    result = greenroom(*(word.replace("{url}", url) for word in words), folder=tmp_path, GREENROOM_URL=url)

    assert result.returncode == 1
    assert f"no gateway at {url}" in result.stderr
    assert "API_KEY" not in result.stderr


@pytest.mark.parametrize(
    ("words", "variables", "line"),
    [
        (("up", "--json-file", "absent/x.json"), {}, "greenroom: --json-file absent/x.json: no folder "),
        (("up", "--json-file", "."), {}, "greenroom: --json-file . cannot be written"),
        (("up",), {"HOST": "0.0.0.0"}, "greenroom: HOST=0.0.0.0 lets other machines in, but GREENROOM_API_KEYS"),
        (("up",), {"PORT": "tcp://10.0.0.1:80"}, "greenroom: PORT='tcp://10.0.0.1:80' is not a port"),
        (("sessions", "--url", "http://[::1"), {}, "greenroom: --url is invalid: it is not a URL"),
    ],
)
def test_what_cannot_work_is_said_at_once_in_one_line(
    words: tuple[str, ...], variables: dict[str, str], line: str, tmp_path: Path
) -> None:
    result = greenroom(*words, folder=tmp_path, **variables)

    assert result.returncode == 1
    assert result.stderr.startswith(line)
    assert result.stderr.count("\n") == 1
    assert not (tmp_path / ".greenroom").exists(), "nothing was started"


def test_up_names_what_compose_would_read_differently(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("INWORLD_API_KEY=pa$word\nPORT=nonsense\n")

    result = greenroom("up", "--json-file", "absent/x.json", "--port", "9", folder=tmp_path, PORT="8000")

    assert "INWORLD_API_KEY in .env: Docker Compose takes $ for the start of a variable" in result.stderr
    assert "word" not in result.stderr


def test_bill_wants_a_session_or_a_user(tmp_path: Path) -> None:
    result = greenroom("bill", folder=tmp_path)

    assert result.returncode == 1
    assert result.stderr.startswith("greenroom: name a session or a user")


def test_a_server_port_that_cannot_be_taken_is_refused(tmp_path: Path) -> None:
    result = greenroom("up", "--server-port", "natz=1", folder=tmp_path)

    assert result.returncode == 1
    assert "NAME one of nats, redis, livekit" in result.stderr


def test_a_taken_port_names_port_holder_and_way_out(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        result = greenroom("up", "--port", str(port), folder=tmp_path)

    assert result.returncode == 1
    assert f"port {port}, wanted by gateway, is taken by" in result.stderr
    assert f"(pid {os.getpid()}); choose another with --port or PORT" in result.stderr


def test_doctor_says_what_is_wrong_and_how_to_fix_it(tmp_path: Path) -> None:
    port = next(free_ports())
    result = greenroom("doctor", "--json", folder=tmp_path, NATS_URL=f"nats://127.0.0.1:{port}")

    report = json.loads(result.stdout)
    checks = {check["name"]: check for check in report["checks"]}
    assert result.returncode == 1
    assert report["verdict"] == "broken"
    assert checks["NATS"]["verdict"] == "broken"
    assert "NATS_URL" in checks["NATS"]["fix"]
    assert checks["Redis"]["verdict"] == "unchecked"
    assert checks["nats-server"]["verdict"] == "ok"


def test_doctor_reports_on_stdout_alone(tmp_path: Path) -> None:
    port = next(free_ports())
    broken = {
        "ASSEMBLY_API_KEY": "wrong",
        "ASSEMBLY_BASE_URL": f"ws://127.0.0.1:{port}",
        "LIVEKIT_URL": f"ws://127.0.0.1:{port}",
        "LIVEKIT_API_KEY": "k",
        "LIVEKIT_API_SECRET": "s" * 32,
    }

    result = greenroom("doctor", folder=tmp_path, **broken)

    assert result.returncode == 1
    assert "fix: check LIVEKIT_URL" in result.stdout
    assert result.stderr == ""


def test_an_agent_without_a_room_is_a_usage_error(tmp_path: Path) -> None:
    result = greenroom("agent", folder=tmp_path)

    assert result.returncode == 2
    assert "--url" in result.stderr
