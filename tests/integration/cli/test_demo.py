"""`greenroom demo` as users run it: a whole stack, one call that speaks and hears, and nothing left behind."""

import json
import subprocess
import sys
import wave
from pathlib import Path

import pytest

from greenroom_cli.stack import system_environment
from greenroom_cli.stack.ports import free_ports
from tests.integration.cli.stand_in_gateway import stand_in_gateway

GREENROOM = (sys.executable, "-c", "from greenroom_cli.main import main; main()")


def demo(*words: str, folder: Path, **variables: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [*GREENROOM, "demo", *words],
        cwd=folder,
        env={**system_environment(), "PORT": str(next(free_ports())), **variables},
        capture_output=True,
        text=True,
        timeout=170,
        check=False,
    )


@pytest.mark.timeout(180)
def test_the_demo_brings_a_stack_up_calls_and_prints_timeline_transcript_and_bill(tmp_path: Path) -> None:
    result = demo("--json", folder=tmp_path)

    assert result.returncode == 0, result.stderr
    report = json.loads(result.stdout)
    times = report["timelineS"]
    assert times["postAnswered"] < times["agentJoined"] < times["firstAudio"] < times["ended"]
    assert "help" in report["opening"].lower()
    assert [turn["said"] for turn in report["turns"]] == ["What time is it?", "What did you just say?"]
    assert all(turn["heard"] and 0 < turn["latencyS"] < 15 for turn in report["turns"])
    assert report["bill"]["minutes"] == report["end"]["details"]["durationMinutes"] == 1
    with wave.open(str(tmp_path / "greenroom-demo.wav")) as recording:
        assert recording.getnframes() / recording.getframerate() > 5


def test_a_demo_without_a_caller_voice_names_the_step_and_the_fix(tmp_path: Path) -> None:
    with stand_in_gateway() as gateway:
        result = demo("--url", gateway.url, folder=tmp_path)

    assert result.returncode == 1
    assert result.stderr.startswith("greenroom: caller's voice: INWORLD_API_KEY is not set; set it")
    assert result.stderr.count("\n") == 1
