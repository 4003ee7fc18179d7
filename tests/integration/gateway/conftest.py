"""A gateway with everything behind it but the scheduler, whose part the tests play."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest

from tests.support.servers import Gateway, LiveKitServer, NatsServer, RedisServer, free_port


@pytest.fixture(scope="session")
def livekit_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveKitServer]:
    """One LiveKit for all tests that only read it or make rooms of their own."""
    with LiveKitServer(tmp_path_factory.mktemp("livekit")) as server:
        yield server


@pytest.fixture
def gateway_variables() -> dict[str, str]:
    """What a module's gateway is started with besides its servers."""
    return {}


@pytest.fixture
def gateway(
    tmp_path: Path,
    nats_server: NatsServer,
    redis_server: RedisServer,
    livekit_server: LiveKitServer,
    gateway_variables: dict[str, str],
) -> Iterator[Gateway]:
    """A running gateway; billing and the list of voices are away."""
    with Gateway(
        tmp_path / "gateway",
        {
            "NATS_URL": nats_server.url,
            "REDIS_URL": redis_server.url,
            "LIVEKIT_URL": livekit_server.url,
            "BILLING_URL": f"http://127.0.0.1:{free_port()}",
            **gateway_variables,
        },
    ) as server:
        yield server


@pytest.fixture
async def api(gateway: Gateway) -> AsyncIterator[httpx.AsyncClient]:
    """A client of that gateway."""
    async with httpx.AsyncClient(base_url=gateway.url, timeout=20, trust_env=False) as client:
        yield client
