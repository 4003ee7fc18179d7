"""Writes Grafana's dashboards, deploy/grafana/dashboards/*.json: `make docs`.

Each panel answers one question, which its description states, and shows from which value on an operator has to look.
"""

import json
from pathlib import Path
from typing import Any, Final

from panel import ACROSS, Dashboard, Panel
from panels_of_calls import FAULTS, STARTS, TURNS
from panels_of_platform import BUS, FLEET, MONEY, SESSION

FOLDER: Final = Path(__file__).resolve().parent / "grafana" / "dashboards"

_PROMETHEUS: Final = {"type": "prometheus", "uid": "prometheus"}
_WIDTH: Final = 8
_HEIGHT: Final = 8

ALL: Final = (FLEET, STARTS, TURNS, FAULTS, MONEY, BUS, SESSION)


def drawn(panel: Panel, at: int) -> dict[str, Any]:
    """A panel in Grafana's form, three in a row."""
    x, y = at * _WIDTH % ACROSS, at * _WIDTH // ACROSS * _HEIGHT
    custom: dict[str, Any] = {"thresholdsStyle": {"mode": "line"}, "showPoints": "never", "fillOpacity": 10}
    if panel.stacked:
        custom |= {"stacking": {"mode": "normal"}, "fillOpacity": 40}
    defaults: dict[str, Any] = {
        "unit": panel.unit,
        "min": 0,
        "thresholds": {"mode": "absolute", "steps": panel.thresholds()},
        "color": {"mode": "thresholds" if panel.kind == "stat" else "palette-classic"},
    }
    return {
        "type": panel.kind,
        "title": panel.title,
        "description": panel.description,
        "datasource": _PROMETHEUS,
        "gridPos": {"x": x, "y": y, "w": _WIDTH, "h": _HEIGHT},
        "fieldConfig": {
            "defaults": defaults if panel.kind == "stat" else defaults | {"custom": custom},
            "overrides": [],
        },
        "targets": [
            {"refId": chr(ord("A") + n), "datasource": _PROMETHEUS, "expr": expression, "legendFormat": legend}
            for n, (legend, expression) in enumerate(panel.queries.items())
        ],
    }


def document(dashboard: Dashboard) -> dict[str, Any]:
    """A dashboard in Grafana's form."""
    others = {
        "title": "Dashboards",
        "type": "dashboards",
        "tags": ["greenroom"],
        "asDropdown": True,
        "keepTime": True,
    }
    return {
        "uid": dashboard.uid,
        "title": f"Greenroom: {dashboard.title}",
        "description": dashboard.description,
        "tags": ["greenroom"],
        "schemaVersion": 39,
        "editable": False,
        "refresh": "30s",
        "time": {"from": "now-1h", "to": "now"},
        "templating": {"list": list(dashboard.variables)},
        "links": [others, *dashboard.links],
        "panels": [
            {"id": n + 1, **panel}
            for n, panel in enumerate([*(drawn(p, n) for n, p in enumerate(dashboard.panels)), *dashboard.extra])
        ],
    }


def documents() -> dict[Path, str]:
    """By file, its generated text."""
    return {
        FOLDER / f"{dashboard.uid.removeprefix('greenroom-')}.json": json.dumps(document(dashboard), indent=1) + "\n"
        for dashboard in ALL
    }


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for file, text in documents().items():
        file.write_text(text, encoding="utf-8")
