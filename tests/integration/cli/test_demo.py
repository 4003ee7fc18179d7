"""`greenroom demo` as users run it: a whole stack, one call that speaks and hears, and nothing left behind."""

import json
import re
import signal
import subprocess
import wave
from pathlib import Path
from typing import Any

import httpx
import pytest

from greenroom_cli.stack import system_environment
from greenroom_cli.stack.ports import free_ports
from tests.integration.cli.running import GREENROOM, greenroom
from tests.integration.cli.stand_in_gateway import stand_in_gateway


@pytest.mark.timeout(180)
def test_the_demo_brings_a_stack_up_calls_reports_and_keeps_the_console_until_ctrl_c(tmp_path: Path) -> None:
    port = next(free_ports())
    kept = subprocess.Popen(
        [*GREENROOM, "demo", "--json", "--keep"],
        cwd=tmp_path,
        env={**system_environment(), "PORT": str(port)},
        stdout=subprocess.PIPE,
        stderr=(tmp_path / "steps").open("w"),
        text=True,
    )
    try:
        report = first_document(kept)
        watched = greenroom("watch", report["sessionId"], "--json", folder=tmp_path)
        watched.check_returncode()
        console = httpx.get(f"http://127.0.0.1:{port}/console", timeout=10, follow_redirects=True)
        kept.send_signal(signal.SIGINT)
        assert kept.wait(60) == 0
    finally:
        kept.kill()
        kept.wait()

    assert [json.loads(watched.stdout.splitlines()[at])["kind"] for at in (0, -1)] == ["requested", "billed"]
    assert console.headers["content-type"].startswith("text/html")
    steps = (tmp_path / "steps").read_text()
    assert "Everything has stopped." in steps
    seconds = [float(each) for each in re.findall(r"^ +(\d+\.\d\d) s  ", steps, re.MULTILINE)]
    assert len(seconds) >= 8
    assert seconds == sorted(seconds)
    times = report["timelineS"]
    assert times["postAnswered"] < times["agentJoined"] < times["firstAudio"] < times["ended"]
    assert "help" in report["opening"].lower()
    assert [turn["said"] for turn in report["turns"]] == ["What time is it?", "What did you just say?"]
    assert all(turn["heard"] and 0 < turn["latencyS"] < 15 for turn in report["turns"])
    assert report["bill"]["minutes"] == report["end"]["details"]["durationMinutes"] == 1
    with wave.open(str(tmp_path / "greenroom-demo.wav")) as recording:
        assert recording.getnframes() / recording.getframerate() > 5


def first_document(process: "subprocess.Popen[str]") -> Any:
    """The JSON document that the process prints; it goes on running."""
    assert process.stdout is not None
    lines: list[str] = []
    for line in process.stdout:
        lines.append(line)
        if line == "}\n":
            return json.loads("".join(lines))
    raise AssertionError(f"it ended without a report: {process.wait(5)}")


def test_a_demo_without_a_caller_voice_names_the_step_and_the_fix(tmp_path: Path) -> None:
    with stand_in_gateway() as gateway:
        result = greenroom("demo", "--url", gateway.url, folder=tmp_path)

    assert result.returncode == 1
    assert result.stderr.startswith("greenroom: caller's voice: INWORLD_API_KEY is not set; set it")
    assert result.stderr.count("\n") == 1
