"""For every test: a marker named after its folder; Hypothesis has no deadlines, which a busy machine would miss."""

from pathlib import Path

import pytest
from hypothesis import settings

from chassis.cancellation import mend_wait_for

HERE = Path(__file__).parent

settings.register_profile("greenroom", deadline=None)
settings.load_profile("greenroom")

mend_wait_for()  # as `lifecycle.run` does: the tests use nats-py in their own process


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        item.add_marker(item.path.relative_to(HERE).parts[0])
