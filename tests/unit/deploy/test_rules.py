"""The alerts and rules over time, judged by Prometheus' own promtool: when they fire, and when they do not."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.promql import ROOT

PROMTOOL = shutil.which("promtool", path=os.pathsep.join([str(ROOT / ".tools" / "bin"), os.environ["PATH"]]))
PROMETHEUS = ROOT / "deploy" / "prometheus"

pytestmark = pytest.mark.skipif(PROMTOOL is None, reason="promtool is missing: apt-get install prometheus")


def promtool(*arguments: str | Path) -> str:
    done = subprocess.run([str(PROMTOOL), *arguments], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_alerts_fire_when_they_should_and_only_then() -> None:
    assert "SUCCESS" in promtool("test", "rules", Path(__file__).with_name("rules.test.yml"))


def test_prometheus_takes_the_rules_and_the_configuration() -> None:
    assert "FAILED" not in promtool("check", "rules", PROMETHEUS / "alerts.yml", PROMETHEUS / "rules.yml")
    promtool("check", "config", "--syntax-only", PROMETHEUS / "prometheus.yml")
