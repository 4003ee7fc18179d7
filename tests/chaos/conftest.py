"""One stack for each module, brought back to its beginning after each test."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.chaos import nats_clock
from tests.chaos.cell import Cell, Shape
from tests.chaos.nats_clock import NotBuilt
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
    """The stack, sound before and after the test; the checker has the last word."""
    yield running
    await running.restore()
    await running.check()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running_cell(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Cell]:
    """The module's cell; its constant SHAPE says how it differs from the usual one."""
    shape: Shape = getattr(request.module, "SHAPE", Shape())
    if shape.nats_clocks:
        try:
            await asyncio.to_thread(nats_clock.program)
        except NotBuilt as error:
            pytest.skip(f"nats-server with a clock that can be set cannot be built here: {error}")
    async with Cell.opened(tmp_path_factory.mktemp("cell"), shape) as cell:
        yield cell


@pytest_asyncio.fixture(loop_scope="module")
async def cell(running_cell: Cell) -> AsyncIterator[Cell]:
    """The cell; what a failed test left broken is mended."""
    yield running_cell
    await running_cell.mend()
