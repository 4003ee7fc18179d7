"""Servers and a gateway for a whole module, as fixtures to import; the scheduler is a test's own affair."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from chassis.nats import Bus
from contracts.streams import BUCKETS, STREAMS
from tests.support.servers import Gateway, LiveKitServer, NatsServer, RedisServer, free_port


def addresses(nats: NatsServer, redis: RedisServer, livekit: LiveKitServer) -> dict[str, str]:
    """A gateway's variables; billing is away."""
    return {
        "NATS_URL": nats.url,
        "REDIS_URL": redis.url,
        "LIVEKIT_URL": livekit.url,
        "BILLING_URL": f"http://127.0.0.1:{free_port()}",
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("starts")


@pytest.fixture(scope="module")
def nats(folder: Path) -> Iterator[NatsServer]:
    with NatsServer(folder / "nats") as server:
        yield server


@pytest.fixture(scope="module")
def gateway(folder: Path, nats: NatsServer, livekit_server: LiveKitServer) -> Iterator[Gateway]:
    with (
        RedisServer(folder / "redis") as redis,
        Gateway(
            folder / "gateway",
            {
                **addresses(nats, redis, livekit_server),
                "IDEMPOTENCY_MAX_MB": "1",
                "DRAIN_TIMEOUT_S": "10",
                "END_WAIT_S": "0.3",
            },
        ) as server,
    ):
        yield server


@pytest.fixture
async def bus(nats: NatsServer, gateway: Gateway) -> AsyncIterator[Bus]:
    bus = await Bus.connect(nats.url, name="test", graceful_timeout_s=2)
    await bus.ensure(STREAMS, BUCKETS, owned=())
    yield bus
    await bus.close()
