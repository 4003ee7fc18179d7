"""What the services answer, as FastStream documents their routers, is what the contracts promise."""

from typing import Any
from urllib.parse import unquote

import pytest
from faststream.nats import NatsBroker, NatsRouter
from faststream.specification import AsyncAPI

from agent_runner.handlers import Commands
from billing import handlers as billing
from contracts.commands import COMMANDS

NONE: Any = None
COMMANDS_OF_A_NODE = Commands(NONE, NONE, announce=NONE, kill_s=1, on_drained=NONE)


def received(router: NatsRouter) -> dict[str, str]:
    """The command of each subject that the router receives."""
    broker = NatsBroker()
    broker.include_router(router)
    document: dict[str, Any] = AsyncAPI(broker, schema_version="3.0.0").to_specification().to_jsonable()
    found: dict[str, str] = {}
    for operation in document["operations"].values():
        assert operation["action"] == "receive"
        channel = unquote(operation["channel"]["$ref"]).removeprefix("#/channels/")
        message = document["components"]["messages"][f"{channel}:SubscribeMessage"]
        found[document["channels"][channel]["address"]] = message["payload"]["$ref"].rpartition("/")[2]
    return found


@pytest.mark.parametrize(
    ("service", "router"),
    [("billing", billing.router), ("agent-runner", COMMANDS_OF_A_NODE.router("{node_id}", at_once=1))],
)
def test_a_service_receives_the_commands_that_the_contracts_say_it_answers(service: str, router: NatsRouter) -> None:
    promised = {c.subject: c.request.__name__ for c in COMMANDS if c.receiver == service}

    assert received(router) == promised
