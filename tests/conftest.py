"""For every test: its marker, an order, and a NATS server; Hypothesis has no deadlines on a busy machine."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from chassis.cancellation import mend_wait_for
from chassis.nats import Bus
from contracts.streams import BUCKETS, STREAMS
from tests.support.servers import NatsServer

HERE = Path(__file__).parent
SETS = (set, frozenset)

settings.register_profile("greenroom", deadline=None)
settings.load_profile("greenroom")

mend_wait_for()  # as `lifecycle.run` does: the tests use nats-py in their own process


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Refuse sets where a test's name or place may follow from them.

    The order of a set of texts differs from process to process, and xdist's processes must collect the same tests.
    """
    for mark in metafunc.definition.iter_markers("parametrize"):
        cases = mark.args[1] if len(mark.args) > 1 else mark.kwargs["argvalues"]
        if isinstance(cases, SETS) or (callable(mark.kwargs.get("ids")) and has_set(cases)):
            pytest.fail(
                f"{metafunc.definition.nodeid}: write the parameters as tuples: a set has no order", pytrace=False
            )


def has_set(value: Any) -> bool:
    """Whether parameters are a set, or hold one at any depth of their tuples, lists and dicts.

    An iterator is not read: pytest would then get no parameters, and would skip the test.
    """
    if isinstance(value, dict):
        value = list(value.items())
    return isinstance(value, SETS) or (isinstance(value, tuple | list) and any(map(has_set, value)))


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
