"""The API with everything behind it in memory."""

from collections.abc import AsyncIterator, Callable

import httpx
import pytest

from gateway.domain.access import AccessRules
from tests.support.gateway.world import World


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def client(world: World) -> Callable[..., httpx.AsyncClient]:
    """Makes clients of that world's API."""

    def make(rules: AccessRules | None = None, *, root_path: str = "") -> httpx.AsyncClient:
        transport = httpx.ASGITransport(app=world.app(rules, root_path=root_path))
        return httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000")

    return make


@pytest.fixture
async def api(client: Callable[..., httpx.AsyncClient]) -> AsyncIterator[httpx.AsyncClient]:
    async with client() as api:
        yield api
