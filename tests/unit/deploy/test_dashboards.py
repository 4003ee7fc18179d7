"""What the dashboards, alerts and rules ask Prometheus for exists in the code, and each panel explains itself."""

from typing import Any

import pytest
import yaml

from tests.support import promql

PANELS = dict(promql.panels())
METRICS = {where: panel for where, panel in PANELS.items() if panel["datasource"]["type"] == "prometheus"}


def test_each_series_and_label_that_is_asked_for_is_declared() -> None:
    declared = promql.declared()

    assert promql.missing(declared, {}) == []


@pytest.mark.parametrize(
    ("expression", "complaint"),
    [
        ("sum(agent_no_such_total)", "there is no agent_no_such_total"),
        ("sum by (colour) (agent_workers)", "agent_workers has no label colour"),
        ('agent_workers{status="warm"}', "agent_workers has no label status"),
    ],
)
def test_a_wrong_name_is_found(monkeypatch: pytest.MonkeyPatch, expression: str, complaint: str) -> None:
    monkeypatch.setattr(promql, "expressions", lambda: [("here", expression)])

    assert promql.missing(promql.declared(), {}) == [f"here: {complaint}"]


def test_what_an_expression_asks_for_is_read_through_functions_and_aggregations() -> None:
    assert promql.asked('sum by (a) (rate(x_total{b="1"}[$__rate_interval])) / on (c) group_left () y > 2') == {
        "x_total": {"a", "b"},
        "y": {"c"},
    }
    replaced = 'sum by (made) (label_replace(x, "made", "$1", "of", "(.+)"))'
    assert promql.asked(replaced) == {"x": {"of"}}
    with pytest.raises(ValueError, match="parenthesis"):
        promql.asked("sum(")


def test_a_page_of_metrics_is_read() -> None:
    page = '# TYPE a counter\n# TYPE b gauge\nb{x="1",y="2"} 3.0\n# TYPE c histogram\nc_bucket{le="1"} 2.0\n'
    found = promql.served(page)
    assert (found["a"], found["b"], found["c_bucket"], found["c_sum"]) == (None, {"x", "y"}, {"le"}, None)


@pytest.mark.parametrize("where", PANELS)
def test_a_panel_asks_a_question(where: str) -> None:
    assert "?" in PANELS[where]["description"]


@pytest.mark.parametrize("where", METRICS)
def test_a_panel_has_a_unit_and_a_threshold(where: str) -> None:
    defaults: dict[str, Any] = METRICS[where]["fieldConfig"]["defaults"]
    assert defaults["unit"]
    assert [step["value"] for step in defaults["thresholds"]["steps"]][-1] is not None


def test_grafana_has_the_dashboards_and_their_sources_in_docker_compose() -> None:
    grafana = yaml.safe_load((promql.ROOT / "compose.yaml").read_text())["services"]["grafana"]
    provisioning = promql.ROOT / "deploy" / "grafana" / "provisioning"
    sources = yaml.safe_load((provisioning / "datasources" / "greenroom.yml").read_text())["datasources"]
    [provider] = yaml.safe_load((provisioning / "dashboards" / "greenroom.yml").read_text())["providers"]

    asked = {(panel["datasource"]["type"], panel["datasource"]["uid"]) for panel in PANELS.values()}
    assert asked == {(source["type"], source["uid"]) for source in sources}
    assert f"./deploy/grafana/dashboards:{provider['options']['path']}:ro" in grafana["volumes"]
    assert "./deploy/grafana/provisioning:/etc/grafana/provisioning:ro" in grafana["volumes"]
    assert {file.stem for file in promql.DASHBOARDS.glob("*.json")} == {
        "fleet", "starts", "turns", "faults", "money", "bus", "session",
    }  # fmt: skip
