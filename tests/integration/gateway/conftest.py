"""A gateway with everything behind it but the scheduler, whose part the tests play."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from gateway.adapters.redis_projection import RedisProjection
from tests.integration.gateway.one_stack import addresses
from tests.support.servers import Gateway, LiveKitServer, NatsServer, RedisServer

TTL_S = 3600
USER_TTL_S = 7200


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
def servers(nats_server: NatsServer, redis_server: RedisServer, livekit_server: LiveKitServer) -> dict[str, str]:
    """A gateway's variables: the servers behind it; billing is away."""
    return addresses(nats_server, redis_server, livekit_server)


@pytest.fixture
def gateway(tmp_path: Path, servers: dict[str, str], gateway_variables: dict[str, str]) -> Iterator[Gateway]:
    """A running gateway; billing and the list of voices are away."""
    with Gateway(tmp_path / "gateway", servers | gateway_variables) as server:
        yield server


@pytest.fixture
async def api(gateway: Gateway) -> AsyncIterator[httpx.AsyncClient]:
    """A client of that gateway."""
    async with httpx.AsyncClient(base_url=gateway.url, timeout=20, trust_env=False) as client:
        yield client


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Any]:
    client: Any = Redis.from_url(redis_url, decode_responses=True, retry=Retry(NoBackoff(), 1))
    yield client
    await client.aclose()


@pytest.fixture
async def model(redis_url: str) -> AsyncIterator[RedisProjection]:
    model = RedisProjection(redis_url, deadline_s=3, ttl_s=TTL_S, user_ttl_s=USER_TTL_S)
    yield model
    await model.close()
