"""A gateway with canned answers."""

from collections.abc import Iterator

import pytest

from tests.integration.cli.stand_in_gateway import StandIn, stand_in_gateway


@pytest.fixture
def gateway() -> Iterator[StandIn]:
    with stand_in_gateway() as server:
        yield server
