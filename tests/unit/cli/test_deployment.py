"""Which parts `greenroom serve` starts, given its environment."""

from pathlib import Path

import pytest

from greenroom_cli.deployment import REQUIRED, options
from greenroom_cli.errors import CommandError
from greenroom_cli.stack import SERVICES, Part
from greenroom_cli.stack.plan import Plan
from greenroom_cli.stack.state import StateFolder

GIVEN = {
    "GREENROOM_API_KEYS": "k" * 64,
    "REDIS_URL": "redis://redis.example:6379/0",
    "LIVEKIT_URL": "wss://livekit.example",
    "LIVEKIT_API_KEY": "key",
    "LIVEKIT_API_SECRET": "s" * 32,
    **dict.fromkeys(("ASSEMBLY_API_KEY", "GROQ_API_KEY", "INWORLD_API_KEY"), "provider"),
}


@pytest.mark.parametrize("missing", REQUIRED)
def test_what_is_missing_is_named_with_its_fix(missing: str) -> None:
    with pytest.raises(CommandError, match=f"^{missing} is not set; set it to "):
        options({name: value for name, value in GIVEN.items() if name != missing})


def test_the_four_services_and_nats_start_on_every_interface() -> None:
    chosen = options(GIVEN)

    assert chosen.parts == SERVICES | {Part.NATS}
    assert chosen.environment["HOST"] == "0.0.0.0"
    assert chosen.ports == {Part.GATEWAY: 8000}


def test_keys_are_needed_on_loopback_too() -> None:
    with pytest.raises(CommandError, match="GREENROOM_API_KEYS"):
        options({name: value for name, value in {**GIVEN, "HOST": "127.0.0.1"}.items() if name != "GREENROOM_API_KEYS"})


@pytest.mark.parametrize(
    ("variables", "port", "expected"), [({"PORT": "9000"}, None, 9000), ({"PORT": "1"}, 9001, 9001)]
)
def test_the_platforms_port_is_taken(variables: dict[str, str], port: int | None, expected: int) -> None:
    assert options({**GIVEN, **variables}, port).ports == {Part.GATEWAY: expected}


def test_nats_of_ones_own_is_used() -> None:
    assert options({**GIVEN, "NATS_URL": "nats://nats.example:4222"}).parts == SERVICES


def plan(folder: Path, **more: str) -> Plan:
    state = StateFolder(folder)
    with state.locked():
        return Plan(state, options({**GIVEN, "PORT": "18999", **more}))


def test_the_key_of_accounts_stays_with_the_bills(tmp_path: Path) -> None:
    made = plan(tmp_path).environment["ACCOUNT_KEY"]
    assert len(made) == 64
    assert plan(tmp_path).environment["ACCOUNT_KEY"] == made

    assert "ACCOUNT_KEY" not in plan(tmp_path, ACCOUNT_KEY="k" * 32).environment
    (gateway,) = [s for s in plan(tmp_path, ACCOUNT_KEY="k" * 32).services() if s.name == "gateway"]
    assert gateway.environment["ACCOUNT_KEY"] == "k" * 32
    assert "ACCOUNT_KEY" not in plan(tmp_path, DATABASE_URL="postgresql://postgres.example/bills").environment


def test_bills_are_kept_in_the_volume_unless_a_database_is_named(tmp_path: Path) -> None:
    assert plan(tmp_path).environment["DATABASE_URL"] == f"sqlite+aiosqlite:///{tmp_path / 'billing.sqlite'}"
    assert "DATABASE_URL" not in plan(tmp_path, DATABASE_URL="postgresql://u:p@h/d").environment


def test_only_the_gateway_is_reached_from_outside_and_the_nodes_stop_first(tmp_path: Path) -> None:
    specs = {spec.name: spec for spec in plan(tmp_path, DRAIN_LIMIT_S="90").services()}

    assert list(specs)[-1] == "agent-runner"
    assert specs["agent-runner"].stop_timeout_s == 150
    assert {name for name, spec in specs.items() if spec.environment.get("HOST") == "0.0.0.0"} == {"gateway"}


def test_health_ports_are_on_loopback_whatever_the_image_says(tmp_path: Path) -> None:
    specs = {spec.name: spec for spec in plan(tmp_path, HEALTH_HOST="0.0.0.0").services()}

    assert {specs[name].environment["HEALTH_HOST"] for name in ("scheduler", "agent-runner")} == {"127.0.0.1"}


@pytest.mark.parametrize(("given", "expected"), [({}, "600"), ({"MEMORY_RESERVED_MB": "50"}, "50")])
def test_the_node_leaves_memory_for_the_other_parts_of_the_container(
    tmp_path: Path, given: dict[str, str], expected: str
) -> None:
    (node,) = [spec for spec in plan(tmp_path, **given).services() if spec.name == "agent-runner"]

    assert node.environment["MEMORY_RESERVED_MB"] == expected


async def test_nats_has_time_to_read_a_large_store(tmp_path: Path) -> None:
    sizes = {"SESSIONS_MAX_MB": "64", "IDEMPOTENCY_MAX_MB": "8", "SEATS_MAX_MB": "8"}
    (nats,) = await plan(tmp_path, **sizes).servers()

    assert nats.ready_timeout_s >= 120


def test_a_service_keeps_its_own_defaults_and_the_name_of_its_node(tmp_path: Path) -> None:
    (node,) = [spec for spec in plan(tmp_path, NODE_ID="eu-1").services() if spec.name == "agent-runner"]

    assert node.environment["NODE_ID"] == "eu-1"
    assert not {"DRAIN_LIMIT_S", "MAX_LOAD", "WORKER_SILENCE_S"} & set(node.environment)


@pytest.mark.parametrize("limit", ["soon", "-1"])
def test_a_bad_limit_of_the_drain_is_refused(tmp_path: Path, limit: str) -> None:
    with pytest.raises(CommandError, match="agent-runner: bad settings: DRAIN_LIMIT_S"):
        plan(tmp_path, DRAIN_LIMIT_S=limit).refuse_bad_settings()
