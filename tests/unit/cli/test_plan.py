"""Where the stack's parts find each other, given what the user's environment says."""

from pathlib import Path

import pytest
from greenroom_cli.stack import Part, StackOptions
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
