"""Which parts `greenroom up` starts, given what the environment names."""

import pytest

from greenroom_cli.errors import CommandError
from greenroom_cli.local_stack import Wanted, options, unreachable_livekit
from greenroom_cli.stack import EVERYTHING, Part
from greenroom_cli.stack.providers import sandbox_environment

KEYS = {"ASSEMBLY_API_KEY": "a", "GROQ_API_KEY": "g", "INWORLD_API_KEY": "i"}


def test_without_anything_named_everything_is_started() -> None:
    assert options({}, Wanted()).parts == EVERYTHING


def test_postgres_is_started_when_asked_for() -> None:
    assert Part.POSTGRES in options({}, Wanted(postgres=True)).parts


@pytest.mark.parametrize(("variable", "part"), [("NATS_URL", Part.NATS), ("REDIS_URL", Part.REDIS)])
def test_a_server_that_the_environment_names_is_not_started(variable: str, part: Part) -> None:
    assert options({variable: "x://y"}, Wanted()).parts == EVERYTHING - {part}


def test_with_all_keys_there_is_no_sandbox() -> None:
    assert Part.SANDBOX not in options(KEYS, Wanted()).parts


def test_the_sandbox_stands_in_for_each_provider_without_a_key_and_no_other() -> None:
    environment = sandbox_environment(8010, {"GROQ_API_KEY": "real"})

    assert "GROQ_API_KEY" not in environment
    assert "GROQ_BASE_URL" not in environment
    assert environment["ASSEMBLY_BASE_URL"] == "ws://127.0.0.1:8010/v3/ws"
    assert environment["INWORLD_HTTP_URL"] == "http://127.0.0.1:8010"


def test_livekit_without_its_keys_is_refused() -> None:
    with pytest.raises(CommandError, match="LIVEKIT_URL is set, but LIVEKIT_API_SECRET is not"):
        options({"LIVEKIT_URL": "wss://x", "LIVEKIT_API_KEY": "k"}, Wanted())


def test_two_databases_are_refused() -> None:
    with pytest.raises(CommandError, match="--postgres was given, but DATABASE_URL names a database"):
        options({"DATABASE_URL": "sqlite:///x"}, Wanted(postgres=True))


@pytest.mark.parametrize("port", ["0", "65536", "http", "-1"])
def test_a_port_that_is_none_is_refused(port: str) -> None:
    with pytest.raises(CommandError, match="is not a port"):
        options({"PORT": port}, Wanted())


def test_the_option_goes_before_the_variable() -> None:
    assert options({"PORT": "1111"}, Wanted(ports={Part.GATEWAY: 2222})).ports == {"gateway": 2222}


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "voice.example"])
def test_an_address_for_other_machines_wants_a_key(host: str) -> None:
    with pytest.raises(CommandError, match="GREENROOM_API_KEYS is not set"):
        options({"HOST": host}, Wanted())

    assert options({"HOST": host, "GREENROOM_API_KEYS": "k" * 32}, Wanted()).parts == EVERYTHING


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_an_address_of_this_machine_wants_none(host: str) -> None:
    assert options({"HOST": host}, Wanted()).parts == EVERYTHING


@pytest.mark.parametrize(
    ("environment", "is_said"),
    [
        ({"LIVEKIT_URL": "ws://127.0.0.1:7880"}, False),
        ({"HOST": "0.0.0.0", "LIVEKIT_URL": "ws://127.0.0.1:7880"}, True),
        ({"HOST": "0.0.0.0", "LIVEKIT_URL": "wss://livekit.example"}, False),
        ({"HOST": "::", "LIVEKIT_URL": "ws://localhost:7880", "LIVEKIT_PUBLIC_URL": "wss://livekit.example"}, False),
    ],
)
def test_callers_elsewhere_who_would_be_sent_to_loopback_are_a_warning(
    environment: dict[str, str], *, is_said: bool
) -> None:
    assert (unreachable_livekit(environment) is not None) == is_said
