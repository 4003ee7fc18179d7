"""`greenroom up`: everything comes up, survives the death of a part, and goes without a trace."""

import contextlib
import itertools
import json
import os
import shlex
import signal
import subprocess
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from greenroom_cli.stack import system_environment
from greenroom_cli.stack.ports import free_ports
from greenroom_cli.stack.state import StateFolder
from tests.integration.cli.running import GREENROOM, greenroom
from tests.support.processes import command_of, descendants, is_alive

# With keys, no sandbox starts; without a call, these addresses get no request.
NOWHERE = "127.0.0.1:9"
PROVIDERS = {
    **dict.fromkeys(("ASSEMBLY_API_KEY", "GROQ_API_KEY", "INWORLD_API_KEY"), "unused"),
    "ASSEMBLY_BASE_URL": f"ws://{NOWHERE}/v3/ws",
    "GROQ_BASE_URL": f"http://{NOWHERE}/openai/v1",
    "INWORLD_BASE_URL": f"ws://{NOWHERE}/tts/v1/voice:streamBidirectional",
    "INWORLD_HTTP_URL": f"http://{NOWHERE}",
}
NAMES = {"nats", "redis", "livekit", "billing", "scheduler", "agent-runner", "gateway"}
UP_S, STOP_S = 60.0, 30.0


@dataclass
class Up:
    """A running `greenroom up` and its folder."""

    process: "subprocess.Popen[str]"
    folder: Path
    output: Path

    @property
    def environment(self) -> dict[str, str]:
        run = StateFolder(self.folder / "state").running()
        assert run is not None
        return run.environment

    def said(self) -> str:
        return self.output.read_text()

    def descendants(self) -> set[int]:
        return descendants(self.process.pid)


def until(holds: Callable[[], bool], limit_s: float, what: str) -> None:
    deadline = time.monotonic() + limit_s
    while not holds():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


def begin_up(folder: Path, *words: str, host: str = "127.0.0.1") -> Up:
    output = folder / "output"
    with output.open("w") as file:
        process = subprocess.Popen(
            [*GREENROOM, "up", "--state", "state", "--port", str(next(free_ports())), *words],
            cwd=folder,
            env={**system_environment(), **PROVIDERS, "PREWARM_POOL_SIZE": "1", "HOST": host},
            stdout=file,
            stderr=subprocess.STDOUT,
            text=True,
        )
    return Up(process, folder, output)


@contextlib.contextmanager
def greenroom_up(folder: Path, *words: str, host: str = "127.0.0.1") -> Generator[Up]:
    up = begin_up(folder, *words, host=host)
    process = up.process
    try:
        until(lambda: "Greenroom is up" in up.said() or process.poll() is not None, UP_S, "it did not come up")
        assert process.poll() is None, up.said()
        yield up
    finally:
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def lasting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """One stack for the tests that leave it running, and for the last of them, which kills it."""
    with greenroom_up(tmp_path_factory.mktemp("up")) as running:
        yield running


@pytest.fixture
def up(tmp_path: Path) -> Iterator[Up]:
    with greenroom_up(tmp_path, "--json-file", "addresses.json") as running:
        yield running


def each_service_has_its_own_user_and_no_secret_of_another_or_on_the_terminal(up: Up) -> None:
    folder = up.folder / "state"
    keys = json.loads((folder / "keys.json").read_text())
    secrets = {f"{server}:{user}": password for server in ("nats", "redis") for user, password in keys[server].items()}
    secrets["livekit"] = keys["livekit_secret"]
    for name in ("keys.json", "nats.conf", "redis.conf", "run.json"):
        assert (folder / name).stat().st_mode & 0o777 == 0o600, name
    held: dict[str, set[str]] = {}
    for pid in up.descendants():
        with contextlib.suppress(OSError):
            command = Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
            environment = Path(f"/proc/{pid}/environ").read_text()
            assert not [name for name, secret in secrets.items() if any(secret in word for word in command)]
            module = next((word for word in command if word.endswith(".app")), None)
            if module:
                held[module] = {name for name, secret in secrets.items() if secret in environment}
    assert held == {
        "gateway.app": {"nats:gateway", "redis:gateway", "livekit"},
        "scheduler.app": {"nats:scheduler", "livekit"},
        "agent_runner.app": {"nats:agent-runner", "redis:agent-runner"},
        "billing.app": {"nats:billing"},
    }
    assert not [name for name, secret in secrets.items() if secret in up.said()]
    nats_log = (folder / "logs" / "nats.log").read_text()
    assert "Violation" not in nats_log, "a user lacks a permission: see contracts/users.py"


def test_everything_answers_and_sigterm_stops_it_all_with_exit_code_0(up: Up) -> None:
    addresses = json.loads((up.folder / "addresses.json").read_text())
    assert addresses == up.environment
    assert httpx.get(f"{addresses['GREENROOM_URL']}/ready", timeout=5).status_code == 200

    def stats_of() -> dict[str, Any]:
        return httpx.get(f"{addresses['GREENROOM_URL']}/stats", timeout=5).json()

    # On a busy host a node may have missed its lease for a moment.
    until(lambda: stats_of()["nodes"] == 1, 10, "not one node")
    stats = stats_of()
    assert stats["nats"]["ok"]
    assert stats["redis"]["ok"]
    assert stats["livekit"]["ok"]
    assert {log.stem for log in (up.folder / "state" / "logs").glob("*.log")} >= NAMES
    each_service_has_its_own_user_and_no_secret_of_another_or_on_the_terminal(up)
    assert stack_that_the_hint_names(up) == addresses["GREENROOM_URL"]
    assert answer_to_the_printed_request(up).status_code == 200
    assert httpx.get(printed_console(up), timeout=5).headers["content-type"].startswith("text/html")
    well = ("NATS", "Redis", "LiveKit", "SQL", "gateway", "scheduler", "billing", "nodes", "clock")
    assert doctor_finds(up) == dict.fromkeys(well, "ok")
    everything = up.descendants()
    assert len(everything) >= len(NAMES)

    up.process.send_signal(signal.SIGTERM)

    assert up.process.wait(STOP_S) == 0
    assert "Everything has stopped." in up.said()
    assert not [pid for pid in everything if is_alive(pid)]
    assert not (up.folder / "addresses.json").exists()


def stack_that_the_hint_names(up: Up) -> str:
    """The gateway that the printed command would call, from whatever folder."""
    hint = next(line for line in up.said().splitlines() if line.startswith("Place a call with: "))
    words = shlex.split(hint.partition(": ")[2])
    assert words[:2] == ["greenroom", "demo"]
    run = StateFolder(Path(words[words.index("--state") + 1])).running()
    assert run is not None
    return run.gateway_url


def answer_to_the_printed_request(up: Up) -> httpx.Response:
    """What the printed `curl` gets."""
    words = shlex.split(next(line for line in up.said().splitlines() if line.startswith("  a call ")))
    headers = dict(word.split(": ", 1) for option, word in itertools.pairwise(words) if option == "-H")
    body = words[words.index("-d") + 1]
    url = next(word for word in words if word.startswith("http"))
    return httpx.request(words[words.index("-X") + 1], url, headers=headers, content=body, timeout=15)


def printed_console(up: Up) -> str:
    return next(line.split()[1] for line in up.said().splitlines() if line.startswith("  console "))


def doctor_finds(up: Up) -> dict[str, str]:
    """What `greenroom doctor` says of the servers, the services and the clocks."""
    result = greenroom("doctor", "--state", "state", "--json", folder=up.folder)
    checks = json.loads(result.stdout)["checks"]
    return {check["name"]: check["verdict"] for check in checks if check["group"] in ("servers", "services", "clocks")}


def test_ctrl_c_while_it_starts_stops_what_was_started_with_exit_code_130(tmp_path: Path) -> None:
    up = begin_up(tmp_path, "--json-file", "addresses.json")
    try:
        until(lambda: "ready after" in up.said() or up.process.poll() is not None, UP_S, "nothing was started")
        everything = up.descendants()

        up.process.send_signal(signal.SIGINT)

        assert up.process.wait(STOP_S) == 130, up.said()
        assert up.said().splitlines()[-2:] == ["Everything has stopped.", "greenroom: interrupted"]
        assert everything
        assert not [pid for pid in everything if is_alive(pid)]
        assert not (tmp_path / "addresses.json").exists()
    finally:
        up.process.kill()
        up.process.wait()


def test_a_second_one_in_the_same_folder_is_refused(lasting: Up) -> None:
    result = greenroom("up", "--state", "state", folder=lasting.folder, **PROVIDERS)

    assert result.returncode == 1
    assert f"(pid {lasting.process.pid}); stop it, or choose another folder with --state" in result.stderr
    assert lasting.process.poll() is None


def test_a_service_that_dies_is_started_again_and_the_state_survives(lasting: Up) -> None:
    billing = next(pid for pid in lasting.descendants() if "billing.app" in command_of(pid))

    os.kill(billing, signal.SIGKILL)

    url = lasting.environment["BILLING_URL"]
    until(lambda: "billing was killed by SIGKILL" in lasting.said(), 10, "its death was not said")
    until(lambda: lasting.said().count("billing        ready") == 2, UP_S, "it was not started again")
    answer = httpx.get(f"{url}/ready", timeout=5)
    assert answer.status_code == 200, answer.text


def test_when_it_is_killed_itself_nothing_stays(lasting: Up) -> None:
    everything = lasting.descendants()

    lasting.process.kill()

    until(lambda: not any(is_alive(pid) for pid in everything), 5, "processes stayed behind")
    assert StateFolder(lasting.folder / "state").running() is None


def has_two_nodes(gateway: str) -> bool:
    return httpx.get(f"{gateway}/stats", timeout=5).json()["nodes"] == 2


def is_billed(gateway: str, session: str) -> bool:
    return httpx.get(f"{gateway}/billing/sessions/{session}", timeout=5).status_code == 200


def records(gateway: str, session: str) -> list[dict[str, object]]:
    """What is known of the session: its view, and its bill."""
    answers = [httpx.get(f"{gateway}/{path}/{session}", timeout=5) for path in ("sessions", "billing/sessions")]
    return [answer.raise_for_status().json() for answer in answers]


def test_two_nodes_and_postgresql_over_a_restart(tmp_path: Path) -> None:
    session, first = "session_before_the_restart", list[dict[str, object]]()
    for _ in range(2):
        with greenroom_up(tmp_path, "--nodes", "2", "--postgres", host="::1") as up:
            assert up.environment["DATABASE_URL"].startswith("postgresql")
            url = up.environment["GREENROOM_URL"]
            assert url.startswith("http://[::1]:")
            until(partial(has_two_nodes, url), 10, "not two nodes")
            if not first:
                start = {"userName": "Ann", "sessionId": session}
                httpx.post(f"{url}/orchestrator/session/start", json=start, timeout=15).raise_for_status()
                httpx.post(
                    f"{url}/orchestrator/session/end", json={"sessionId": session}, timeout=15
                ).raise_for_status()
                until(partial(is_billed, url, session), 10, "not billed")
                first = records(url, session)
            assert records(url, session) == first
            everything = up.descendants()
            up.process.send_signal(signal.SIGINT)
            assert up.process.wait(STOP_S) == 0
            assert not [pid for pid in everything if is_alive(pid)]
