"""A deleted key stays deleted when nats-server is killed, although it forgets markers. 100 kills: `make chaos`."""

import pytest

from chassis.nats import Bus
from tests.integration.chassis.deleted_keys import stay_deleted
from tests.support.servers import NatsServer


async def test_deleted_keys_do_not_come_back(
    bus: Bus, nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    await stay_deleted(bus, nats_server, monkeypatch, kills=10)
