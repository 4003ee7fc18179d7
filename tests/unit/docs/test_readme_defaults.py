"""The services' READMEs say the defaults that the code has."""

import re
from pathlib import Path

import pytest
from pydantic_settings import BaseSettings

from agent_runner.settings import Settings as AgentRunnerSettings
from scheduler.settings import Settings as SchedulerSettings

ROOT = Path(__file__).parents[3]


def in_brackets(text: str) -> dict[str, str]:
    """The figures of "`NAME` (5)"."""
    return dict(re.findall(r"`([A-Z_]+)` \((?:\w+, )?([\d.]+)\)", text))


def in_a_table(text: str) -> dict[str, str]:
    """The figures of "| ONE, OTHER | 5, 7.5 |"."""
    rows = re.findall(r"^\| ([A-Z_, ]+) \| ([\d., ]+) \|", text, flags=re.MULTILINE)
    return {name: figure for row in rows for name, figure in zip(*(cell.split(", ") for cell in row), strict=True)}


@pytest.mark.parametrize(
    ("service", "settings"), [("scheduler", SchedulerSettings), ("agent-runner", AgentRunnerSettings)]
)
def test_a_figure_of_a_setting_is_the_codes_default(service: str, settings: type[BaseSettings]) -> None:
    text = (ROOT / "services" / service / "README.md").read_text()
    written = {name.lower(): float(figure) for name, figure in (in_brackets(text) | in_a_table(text)).items()}
    defaults = {name: field.default for name, field in settings.model_fields.items() if field.default is not None}
    own = {name: figure for name, figure in written.items() if name in defaults}

    assert len(own) > 10
    assert own == {name: defaults[name] for name in own}
