"""A panel and a dashboard of Grafana, and the expressions that many panels share."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from chassis.shared_settings import SessionLimits, TurnBudget

BUDGET_S: Final[float] = TurnBudget.model_fields["turn_budget_ms"].default / 1000
MAX_BOTS: Final[int] = SessionLimits.model_fields["max_bots"].default
"""The default: what a full deployment does is the threshold of the panels that show how much is done."""
ACROSS: Final = 24
"""Grafana's columns."""


@dataclass(frozen=True)
class Panel:
    """One question and its answer over time.

    Attributes:
        queries: By legend, the expression; `{{label}}` in a legend is the label's value.
        unit: Grafana's name for the unit.
        above: The value from which it is a fault.
        below: The value under which it is a fault.
        kind: Grafana's name for the panel.
        stacked: Whether the series are parts of a whole.
    """

    title: str
    description: str
    queries: Mapping[str, str]
    unit: str = "none"
    above: float | None = None
    below: float | None = None
    kind: str = "timeseries"
    stacked: bool = False

    def thresholds(self) -> list[dict[str, Any]]:
        if self.below is not None:
            return [{"color": "red", "value": None}, {"color": "green", "value": self.below}]
        return [{"color": "green", "value": None}, {"color": "red", "value": self.above}]


@dataclass(frozen=True)
class Dashboard:
    """A page; `extra`: panels of another source than Prometheus, in Grafana's own form."""

    uid: str
    title: str
    description: str
    panels: Sequence[Panel] = ()
    extra: Sequence[Mapping[str, Any]] = ()
    variables: Sequence[Mapping[str, Any]] = field(default_factory=tuple)
    links: Sequence[Mapping[str, Any]] = ()


def quantile(share: float, metric: str, by: str = "", match: str = "") -> str:
    labels = f"le, {by}" if by else "le"
    return f"histogram_quantile({share}, sum by ({labels}) (rate({metric}_bucket{match}[$__rate_interval])))"


def per_minute(metric: str, by: str = "", match: str = "", per_s: int = 60) -> str:
    grouped = f" by ({by})" if by else ""
    return f"{per_s} * sum{grouped} (rate({metric}{match}[$__rate_interval]))"


def highest(metric: str, by: str = "instance") -> dict[str, str]:
    return {f"{{{{{by}}}}}": f"max by ({by}) ({metric})"}


def increases(metric: str, by: str, match: str = "", within: str = "5m", *, above_0: bool = False) -> dict[str, str]:
    return {f"{{{{{by}}}}}": f"sum by ({by}) (increase({metric}{match}[{within}])){' > 0' if above_0 else ''}"}


def increase(metric: str, within: str) -> str:
    return f"sum(increase({metric}[{within}]))"


def quantiles(share: float, metric: str, by: str, match: str = "") -> dict[str, str]:
    return {f"{{{{{by}}}}}": quantile(share, metric, by, match)}


def median_and_tail(metric: str, match: str = "") -> dict[str, str]:
    return {"median": quantile(0.5, metric, match=match), "95 %": quantile(0.95, metric, match=match)}
