"""The alerts and rules that ship: they can be read, say what to do, and ask for metrics that exist."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support import promql

PROMETHEUS = promql.ROOT / "deploy" / "prometheus"
ALERTS = [rule for rule in promql.RULES if "alert" in rule]


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: rule["alert"])
def test_an_alert_says_what_is_wrong_and_what_to_do(rule: dict[str, Any]) -> None:
    assert rule["alert"].startswith("Greenroom")
    assert rule["labels"]["severity"] in {"warning", "critical"}
    assert rule["annotations"]["summary"].endswith(".")
    assert rule["annotations"]["action"].endswith(".")


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: rule["alert"])
def test_a_runbook_that_an_alert_names_exists(rule: dict[str, Any]) -> None:
    named = [word.strip("`.,;()") for word in rule["annotations"]["action"].split() if word.startswith("docs/")]
    assert [path for path in named if not (promql.ROOT / path).is_file()] == []


def test_no_two_rules_have_one_name() -> None:
    names = [rule.get("alert") or rule["record"] for rule in promql.RULES]

    assert len(names) == len(set(names))


def test_every_alert_is_explained_to_the_operator() -> None:
    page = (promql.ROOT / "docs" / "observability.md").read_text()

    assert [rule["alert"] for rule in ALERTS if f"`{rule['alert']}`" not in page] == []


def test_prometheus_reads_them_in_docker_compose() -> None:
    files = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text())["rule_files"]
    volumes = yaml.safe_load((promql.ROOT / "compose.yaml").read_text())["services"]["prometheus"]["volumes"]

    assert {Path(file).name for file in files} == {path.name for path in PROMETHEUS.glob("*.yml")} - {"prometheus.yml"}
    for file in files:
        assert f"./deploy/prometheus/{Path(file).name}:{file}:ro" in volumes
