"""A container of a service, as far as it goes without one: the Dockerfile's command with the image's variables."""

import json
import os
import re
import subprocess
import time
from pathlib import Path

import httpx
import pytest

from tests.support.servers import BIN, free_port

DOCKERFILE = Path(__file__).resolve().parents[3] / "Dockerfile"
KEY = "a-key-of-at-least-16-characters"
# An address that a server on 127.0.0.1 does not answer and one on all interfaces does.
FROM_OUTSIDE = "127.0.0.2"


def image(part: str) -> tuple[list[str], dict[str, str]]:
    """The command and the variables of a part's image."""
    last_stage = DOCKERFILE.read_text().replace("\\\n", " ").rpartition("\nFROM ")[2]
    pairs = [pair for line in re.findall(r"^ENV (.*)$", last_stage, re.MULTILINE) for pair in line.split()]
    variables = dict(pair.split("=", 1) for pair in pairs)
    command: list[str] = json.loads(re.findall(r"^CMD (.*)$", last_stage, re.MULTILINE)[0])
    return command, variables | {"PART": part, "PATH": f"{BIN}:{os.environ['PATH']}"}


def run(part: str, folder: Path, **given: str) -> "subprocess.Popen[str]":
    """`docker run -e NAME=value ... IMAGE`"""
    command, variables = image(part)
    return subprocess.Popen(
        command, env=variables | given, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )


def answers(process: "subprocess.Popen[str]", url: str, limit_s: float = 20) -> httpx.Response:
    until = time.monotonic() + limit_s
    while True:
        assert process.poll() is None, process.stderr and process.stderr.read()
        try:
            return httpx.get(url, timeout=2, trust_env=False)
        except httpx.TransportError:
            assert time.monotonic() < until, f"no answer from {url}"
            time.sleep(0.05)


LIVEKIT = {
    "LIVEKIT_URL": "ws://127.0.0.1:9",
    "LIVEKIT_API_KEY": "greenroom",
    "LIVEKIT_API_SECRET": "a-secret-of-at-least-32-bytes-for-tests",
}


@pytest.mark.parametrize(
    ("part", "port_variable", "given"),
    [("gateway", "PORT", {"GREENROOM_API_KEYS": KEY}), ("scheduler", "HEALTH_PORT", {})],
)
def test_a_container_is_reached_from_outside(
    part: str, port_variable: str, given: dict[str, str], nats_url: str, redis_url: str, tmp_path: Path
) -> None:
    port = free_port()
    urls = {"NATS_URL": nats_url, "REDIS_URL": redis_url, port_variable: str(port)}
    process = run(part, tmp_path, **urls, **LIVEKIT, **given)
    try:
        assert answers(process, f"http://{FROM_OUTSIDE}:{port}/health").status_code == 200
    finally:
        process.kill()
        process.communicate()


def test_the_image_of_everything_without_keys_does_not_start(tmp_path: Path) -> None:
    process = run("all", tmp_path)

    _, err = process.communicate(timeout=60)

    assert process.returncode == 1
    assert err.startswith("greenroom: GREENROOM_API_KEYS is not set; ")


def test_a_container_of_the_gateway_without_keys_does_not_start(nats_url: str, tmp_path: Path) -> None:
    process = run("gateway", tmp_path, NATS_URL=nats_url, PORT=str(free_port()), **LIVEKIT)

    _, err = process.communicate(timeout=60)

    assert process.returncode == 2
    assert "refusing to listen on 0.0.0.0 without API keys: set GREENROOM_API_KEYS" in err.splitlines()[-1]
