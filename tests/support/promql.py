"""What the shipped alerts, rules and dashboards ask Prometheus for, and what Greenroom's parts have to offer."""

import ast
import json
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import promql_parser as promql
import yaml

ROOT: Final = Path(__file__).resolve().parents[2]
DASHBOARDS: Final = ROOT / "deploy" / "grafana" / "dashboards"
RULES: Final[list[dict[str, Any]]] = [
    rule
    for file in ("alerts.yml", "rules.yml")
    for group in yaml.safe_load((ROOT / "deploy" / "prometheus" / file).read_text())["groups"]
    for rule in group["rules"]
]
RECORDED: Final = {rule["record"] for rule in RULES if "record" in rule}

_ADDED: Final = {"instance", "job"}  # by Prometheus, to every series
_DURATION: Final = re.compile(r"\$__(rate_interval|interval|range)")
_OF_A_HISTOGRAM: Final = ("_bucket", "_sum", "_count")
_OF_THE_CLIENT: Final = {"process_resident_memory_bytes": set[str](), "process_cpu_seconds_total": set[str]()}


def asked(expression: str) -> dict[str, set[str]]:
    """By series, the labels that the expression expects of it.

    Raises:
        ValueError: The expression is not PromQL.
    """
    found: defaultdict[str, set[str]] = defaultdict(set)
    _visit(promql.parse(_DURATION.sub("5m", expression)), set(), found)
    return {series: labels - _ADDED for series, labels in found.items()}


def _visit(node: promql.Expr, demanded: set[str], found: defaultdict[str, set[str]]) -> None:
    """Collect what is below a node; `demanded`: labels that an expression around it names."""
    match node:
        case promql.VectorSelector():
            assert node.name, "each selector names its series"
            found[node.name] |= demanded | {matcher.name for matcher in node.matchers.matchers}
        case promql.MatrixSelector():
            _visit(node.vector_selector, demanded, found)
        case promql.AggregateExpr():
            by = node.modifier is not None and node.modifier.type == promql.AggModifierType.By
            _visit(node.expr, set(node.modifier.labels) if by and node.modifier else set(), found)
        case promql.BinaryExpr():
            matching = node.modifier.matching if node.modifier else None
            on = matching is not None and matching.type == promql.LabelModifierType.Include
            labels = demanded | (set(matching.labels) if on and matching else set())
            _visit(node.lhs, labels, found)
            _visit(node.rhs, labels, found)
        case promql.Call() if node.func.name == "label_replace":
            vector, made, _, source, _ = node.args
            assert isinstance(made, promql.StringLiteral)
            assert isinstance(source, promql.StringLiteral)
            _visit(vector, (demanded - {made.val}) | {source.val}, found)
        case promql.Call():
            for argument in node.args:
                _visit(argument, demanded, found)
        case promql.ParenExpr() | promql.UnaryExpr() | promql.SubqueryExpr():
            _visit(node.expr, demanded, found)
        case _:
            pass


def panels() -> Iterator[tuple[str, dict[str, Any]]]:
    """Each panel of each dashboard, with a name for messages."""
    for file in sorted(DASHBOARDS.glob("*.json")):
        for panel in json.loads(file.read_text())["panels"]:
            yield f"{file.stem}: {panel['title']}", panel


def expressions() -> Iterator[tuple[str, str]]:
    """All that is asked of Prometheus: where, and the expression."""
    for rule in RULES:
        yield rule.get("alert") or rule["record"], rule["expr"]
    for where, panel in panels():
        for target in panel["targets"]:
            if "expr" in target:
                yield where, target["expr"]


def declared() -> dict[str, set[str]]:
    """By series, the labels with which the source of the parts declares it."""
    found = dict(_OF_THE_CLIENT)
    for part in ("chassis", "services"):
        for path in (ROOT / part).rglob("src/**/*.py"):
            for name, labels in _declared_in(ast.parse(path.read_text())):
                found[name] = labels
                found.update(dict.fromkeys((name + suffix for suffix in _OF_A_HISTOGRAM), labels | {"le"}))
    return found


def _declared_in(module: ast.Module) -> Iterator[tuple[str, set[str]]]:
    constants: dict[str, ast.expr] = {
        target.id: node.value
        for node in module.body
        if isinstance(node, ast.AnnAssign | ast.Assign) and node.value is not None
        for target in ([node.target] if isinstance(node, ast.AnnAssign) else node.targets)
        if isinstance(target, ast.Name)
    }
    for node in ast.walk(module):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr in ("counter", "gauge", "histogram")
            and isinstance(node.func.value, ast.Name)
            and node.func.value.id == "metrics"
            and isinstance(node.args[0], ast.Constant)
        ):
            labels = node.args[2] if len(node.args) > 2 else ast.Tuple([])
            if isinstance(labels, ast.Name):
                labels = constants[labels.id]
            yield str(node.args[0].value), set(ast.literal_eval(labels))


def served(page: str) -> dict[str, set[str] | None]:
    """By series, its labels in a page of metrics; None: the series is known and has no sample yet."""
    found: dict[str, set[str] | None] = {}
    for line in page.splitlines():
        if line.startswith("# TYPE "):
            name, kind = line.split()[2:4]
            found.update(dict.fromkeys([name] + [name + suffix for suffix in _OF_A_HISTOGRAM] * (kind == "histogram")))
        elif line and not line.startswith("#"):
            name, _, labels = line.rpartition(" ")[0].partition("{")
            found[name] = (found.get(name) or set()) | set(re.findall(r'(\w+)="', labels))
    return found


def missing(offered: Mapping[str, set[str] | None], otherwise: Mapping[str, set[str]]) -> list[str]:
    """What is asked for and not offered; `otherwise`: the labels of series that have no sample."""
    found: list[str] = []
    for where, expression in expressions():
        for series, labels in asked(expression).items():
            if series in RECORDED:
                continue
            if series not in offered:
                found.append(f"{where}: there is no {series}")
                continue
            have = offered[series]
            lacking = labels - (otherwise.get(series, set()) if have is None else have)
            found += [f"{where}: {series} has no label {label}" for label in sorted(lacking)]
    return found
