"""The alerts that ship: they can be read, say what to do, and ask for metrics that exist."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[3]
PROMETHEUS = ROOT / "deploy" / "prometheus"
RULES: list[dict[str, Any]] = [
    rule for group in yaml.safe_load((PROMETHEUS / "alerts.yml").read_text())["groups"] for rule in group["rules"]
]
# A name with an underscore that no bracket follows, outside of quotes.
METRIC = re.compile(r"\b[a-z]+_[a-z0-9_]+\b(?!\()")
SERIES = re.compile(r"_(bucket|sum|count)$")  # what a histogram adds to its name


def declared() -> str:
    """The source of everything that has metrics."""
    return "\n".join(
        path.read_text() for part in ("chassis", "services") for path in (ROOT / part).rglob("src/**/*.py")
    )


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_an_alert_says_what_is_wrong_and_what_to_do(rule: dict[str, Any]) -> None:
    assert rule["alert"].startswith("Greenroom")
    assert rule["labels"]["severity"] in {"warning", "critical"}
    assert rule["annotations"]["summary"].endswith(".")
    assert rule["annotations"]["action"].endswith(".")


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_an_alert_asks_for_metrics_that_exist(rule: dict[str, Any]) -> None:
    source = declared()
    asked = set(METRIC.findall(re.sub(r'"[^"]*"|\{[^}]*\}|by \([^)]*\)', "", rule["expr"])))

    assert asked
    assert {name for name in asked if f'"{SERIES.sub("", name)}"' not in source} == set()


def test_no_two_alerts_have_one_name() -> None:
    names = [rule["alert"] for rule in RULES]

    assert len(names) == len(set(names))


def test_prometheus_reads_them_in_docker_compose() -> None:
    [rules] = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text())["rule_files"]
    volumes = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]["prometheus"]["volumes"]

    assert f"./deploy/prometheus/{Path(rules).name}:{rules}:ro" in volumes
