"""compose.yaml as Docker Compose reads it, as far as our file goes: tests have no Docker engine."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
_VARIABLE = re.compile(r"\$\{(\w+)(?:(:[-+?])([^}]*))?\}")


def interpolated(text: str, environment: Mapping[str, str]) -> str:
    """Replace ${NAME}, ${NAME:-default}, ${NAME:+other} and ${NAME:?error}; not `$$`, and none inside of another.

    Raises:
        KeyError: A required variable is missing.
    """

    def value(found: re.Match[str]) -> str:
        name, operator, other = found.groups()
        given = environment.get(name, "")
        match operator:
            case ":-":
                return given or other
            case ":+":
                return other if given else ""
            case ":?" if not given:
                raise KeyError(other)
            case _:
                return given

    return _VARIABLE.sub(value, text)


def service(name: str, environment: Mapping[str, str]) -> dict[str, Any]:
    """One service of compose.yaml, with these variables in .env."""
    services = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
    return yaml.safe_load(interpolated(yaml.safe_dump(services[name]), environment))
