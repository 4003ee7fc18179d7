"""For every test: a marker named after its folder, and a NATS server; Hypothesis has no deadlines on a busy machine."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from chassis.cancellation import mend_wait_for
from chassis.nats import Bus
from contracts.streams import BUCKETS, STREAMS
from tests.support.servers import NatsServer

HERE = Path(__file__).parent

settings.register_profile("greenroom", deadline=None)
settings.load_profile("greenroom")

mend_wait_for()  # as `lifecycle.run` does: the tests use nats-py in their own process


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        item.add_marker(item.path.relative_to(HERE).parts[0])


@pytest.fixture
def nats_server(tmp_path: Path) -> Iterator[NatsServer]:
    """A running nats-server: `.url`, `.kill9()`, `.restart()`, `.freeze()`, `.thaw()`; streams survive a restart."""
    with NatsServer(tmp_path / "nats") as server:
        yield server


@pytest.fixture
def nats_url(nats_server: NatsServer) -> str:
    """NATS_URL of this test's own, empty server."""
    return nats_server.url


@pytest.fixture
async def bus(nats_url: str) -> AsyncIterator[Bus]:
    """A connected bus with all streams and buckets made."""
    bus = await Bus.connect(nats_url, name="test", graceful_timeout_s=2)
    await bus.ensure(STREAMS, BUCKETS, owned=())  # a running service keeps what its settings made
    yield bus
    await bus.close()
