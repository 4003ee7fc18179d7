"""Where the stack's parts find each other, given what the user's environment says."""

import os
from pathlib import Path

import pytest

from contracts.users import NATS_USERS, REDIS_USERS, nats_variable, redis_variable
from greenroom_cli.errors import CommandError
from greenroom_cli.stack import EVERYTHING, Part, StackOptions
from greenroom_cli.stack.plan import Plan
from greenroom_cli.stack.ports import reached_at
from greenroom_cli.stack.state import StateFolder


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("0.0.0.0", "127.0.0.1"),
        ("", "127.0.0.1"),
        ("::", "[::1]"),
        ("::1", "[::1]"),
        ("fe80::1", "[fe80::1]"),
        ("localhost", "localhost"),
        ("192.0.2.1", "192.0.2.1"),
    ],
)
def test_a_server_is_reached_where_it_listens(host: str, address: str) -> None:
    assert reached_at(host) == address


def test_the_gateways_address_follows_host(tmp_path: Path) -> None:
    environment = {"HOST": "::1", "HEALTH_HOST": "::", "PORT": "8000"}
    state = StateFolder(tmp_path)
    with state.locked():
        plan = Plan(state, StackOptions(parts={Part.GATEWAY, Part.BILLING}, environment=environment))

    assert plan.environment["GREENROOM_URL"].startswith("http://[::1]:")
    assert plan.environment["BILLING_URL"].startswith("http://127.0.0.1:")


def test_the_readers_address_of_redis_is_published(tmp_path: Path) -> None:
    state = StateFolder(tmp_path)
    with state.locked():
        with_redis = Plan(state, StackOptions(parts={Part.REDIS}, environment={})).environment
        without = Plan(state, StackOptions(parts={Part.NATS}, environment={"REDIS_URL": "redis://mine"})).environment

    assert with_redis["REDIS_READER_URL"].startswith(f"redis://reader:{state.keys().redis['reader']}@127.0.0.1:")
    assert "REDIS_READER_URL" not in without


@pytest.mark.parametrize(
    ("environment", "told"),
    [
        ({"QUEUE_DEADLINE_S": "soon"}, "scheduler: bad settings: QUEUE_DEADLINE_S: "),
        ({"BODY_LIMIT_BYTES": "-1"}, "gateway: bad settings: BODY_LIMIT_BYTES: "),
        ({"HOST": "0.0.0.0"}, "gateway: bad settings: "),
        ({"STT_SILENCE_S": "x"}, "agent-runner: bad settings: STT_SILENCE_S: "),
        ({"DATABASE_URL": "oracle://u:hunter2@h/d"}, "billing: bad settings: DATABASE_URL: "),
    ],
)
def test_bad_settings_are_refused_before_anything_starts(
    tmp_path: Path, environment: dict[str, str], told: str
) -> None:
    before = dict(os.environ)
    state = StateFolder(tmp_path)
    with state.locked():
        Plan(state, StackOptions(parts=EVERYTHING, environment={})).refuse_bad_settings()
        plan = Plan(state, StackOptions(parts=EVERYTHING, environment=environment))

        with pytest.raises(CommandError) as refused:
            plan.refuse_bad_settings()

    assert str(refused.value.problem).startswith(told)
    assert "hunter2" not in refused.value.problem
    assert dict(os.environ) == before


def test_the_agents_own_file_is_not_taken_for_missing(tmp_path: Path) -> None:
    state = StateFolder(tmp_path)
    (tmp_path / "agent.env").write_text("STT_SILENCE_S=1\n")
    with state.locked():
        environment = {"AGENT_ENV_FILE": str(tmp_path / "agent.env"), "STT_SILENCE_S": "x"}
        Plan(state, StackOptions(parts=EVERYTHING, environment=environment)).refuse_bad_settings()


# Which process reads which secret; no other process gets it.
READERS = {
    "DATABASE_URL": {"billing", "migrate"},
    "GREENROOM_API_KEY": set[str](),
    "GREENROOM_API_KEYS": {"gateway"},
    "GROQ_API_KEY": {"agent-runner"},
    "GROQ_FALLBACK_API_KEY": {"agent-runner"},
    "ASSEMBLY_API_KEY": {"agent-runner"},
    "INWORLD_API_KEY": {"agent-runner", "gateway"},
    "LIVEKIT_API_KEY": {"gateway", "scheduler"},
    "LIVEKIT_API_SECRET": {"gateway", "scheduler"},
    "LIVEKIT_WEBHOOK_KEYS": {"gateway"},
    "REDIS_URL": {"gateway", "agent-runner"},
    "POSTGRES_PASSWORD": set[str](),
    "AWS_SECRET_ACCESS_KEY": set[str](),
    "SANDBOX_GROQ_KEY": {"sandbox"},
    **{nats_variable(user.name): set[str]() for user in NATS_USERS},
    **{redis_variable(user.name): set[str]() for user in REDIS_USERS},
}


async def test_each_process_is_given_only_the_secrets_that_it_reads(tmp_path: Path) -> None:
    system = {"PATH": "/bin", "HTTPS_PROXY": "http://u:p@proxy", "SSL_CERT_FILE": "/ca"}
    environment = {**system, **{name: f"secret of {name}" for name in READERS}, "LIVEKIT_SERVER_BIN": "/bin/true"}
    state = StateFolder(tmp_path)
    with state.locked():
        plan = Plan(state, StackOptions(parts=EVERYTHING, environment=environment))
        specs = [*await plan.servers(), *plan.migrations(), *plan.services()]

    processes = {"nats", "redis", "livekit", "sandbox", "migrate", "billing", "scheduler", "agent-runner", "gateway"}
    assert {spec.name for spec in specs} == processes
    for name, readers in READERS.items():
        assert {spec.name for spec in specs if name in spec.environment} == readers, name
    for spec in specs:
        assert spec.environment.items() >= system.items()
        others = {"operator", "gateway", "scheduler", "agent-runner", "billing", "reader"} - {spec.name}
        passwords = {state.keys().nats.get(user) for user in others} | {state.keys().redis.get(user) for user in others}
        held = " ".join(spec.environment.values())
        assert spec.name == "migrate" or not [word for word in passwords if word and word in held], spec.name
