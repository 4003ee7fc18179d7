"""What deploy/railway says is what the code reads: each service's variables suffice, and its stop is long enough."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from contracts.users import NATS_USERS, nats_variable
from greenroom_cli import deployment
from greenroom_cli.stack import Part
from greenroom_cli.stack.environment import for_part, mistakes

ROOT = Path(__file__).resolve().parents[3]
RAILWAY = ROOT / "deploy" / "railway"
EXAMPLE = (RAILWAY / ".env.railway.example").read_text()
SECTION = re.compile(r"^# --- ([a-z-]+): config file (/\S+\.json).*$", re.MULTILINE)
PARTS = [Part.GATEWAY, Part.SCHEDULER, Part.AGENT_RUNNER, Part.BILLING]
SERVICES = [*(part.value for part in PARTS), "greenroom", "nats"]


def section(service: str) -> tuple[str, dict[str, str]]:
    """A service's config file, and its variables with values in place of references and placeholders."""
    pieces = SECTION.split(EXAMPLE)[1:]
    ((file, text),) = [(pieces[i + 1], pieces[i + 2]) for i in range(0, len(pieces), 3) if pieces[i] == service]
    known = {
        "${{Redis.REDIS_URL}}": "redis://default:p@redis.railway.internal:6379",
        "${{Postgres.DATABASE_URL}}": "postgresql://postgres:p@postgres.railway.internal:5432/railway",
        "change-me": "k" * 64,
    }
    values: dict[str, str] = dict(re.findall(r"^([A-Z0-9_]+)=(.*)$", text, re.MULTILINE))
    return file, {name: re.sub(r"\$\{\{[^}]*\}\}", "x", known.get(value) or value) for name, value in values.items()}


def configuration(service: str) -> dict[str, Any]:
    file, _ = section(service)
    return json.loads((ROOT / file.lstrip("/")).read_text())


@pytest.mark.parametrize("part", PARTS)
def test_a_part_has_the_variables_that_it_needs_and_no_other(part: Part) -> None:
    _, variables = section(part)

    assert variables.pop("PART") == part
    assert not mistakes(part, variables)
    platform = {"PORT"}  # also tells Railway's health check where to ask
    assert set(variables) - set(for_part(part, variables)) <= platform


def test_everything_in_one_service_has_the_variables_that_it_needs() -> None:
    _, variables = section("greenroom")

    options = deployment.options(variables)

    for part in PARTS:
        needed = {"NATS_URL": "nats://n:4222", "DATABASE_URL": "sqlite:///x", **options.environment}
        assert not mistakes(part, for_part(part, needed))
    assert variables["PART"] == "all"


def test_nats_has_every_users_password() -> None:
    assert set(section("nats")[1]) == {nats_variable(user.name) for user in NATS_USERS}


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_is_built_from_a_dockerfile_and_always_restarted(service: str) -> None:
    found = configuration(service)

    assert found["build"]["builder"] == "DOCKERFILE"
    assert (ROOT / found["build"]["dockerfilePath"]).is_file()
    assert found["deploy"]["restartPolicyType"] == "ALWAYS"
    assert ("healthcheckPath" in found["deploy"]) == (service != "nats"), "nats-server's monitoring is on loopback"


@pytest.mark.parametrize("service", ["greenroom", "agent-runner"])
def test_calls_have_their_drain_and_a_minute_before_they_are_killed(service: str) -> None:
    drain_s = int(section(service)[1]["DRAIN_LIMIT_S"])

    assert configuration(service)["deploy"]["drainingSeconds"] == drain_s + 60, "a number: Railway refuses text"
