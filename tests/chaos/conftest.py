"""One stack for each module, brought back to its beginning after each test."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.chaos.scene import Scene


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Scene]:
    """The module's stack; its constants NODES and ENVIRONMENT say how it differs from the usual one."""
    nodes: int = getattr(request.module, "NODES", 1)
    environment: dict[str, str] = getattr(request.module, "ENVIRONMENT", {})
    async with Scene.opened(tmp_path_factory.mktemp("stack"), nodes=nodes, environment=environment) as scene:
        yield scene


@pytest_asyncio.fixture(loop_scope="module")
async def scene(running: Scene) -> AsyncIterator[Scene]:
    """The stack, sound before and after the test."""
    yield running
    await running.restore()
