from types import SimpleNamespace
from typing import Any, cast

import pytest

from chassis.nats import Bus, StreamPosition
from scheduler.adapters import nats_stores
from scheduler.adapters.nats_stores import NatsStores
from scheduler.domain.log_room import BillingPosition


async def test_a_look_between_two_marks_of_billing_keeps_the_last_answer_for_a_minute(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    place: StreamPosition | None = None
    now = 1_000.0

    async def position_of(_connection: Any, stream: str, durable: str) -> StreamPosition | None:
        assert (stream, durable) == ("SESSIONS", "billing")
        return place

    monkeypatch.setattr(nats_stores, "position_of", position_of)
    stores = NatsStores(cast(Bus, SimpleNamespace(connection=None)), clock=lambda: now)
    assert await stores.billing() is None
    place = StreamPosition(seq=7, waiting=6, begins=1, is_read=False)
    assert await stores.billing() == BillingPosition(7, 6)

    place = None
    now += 59
    assert await stores.billing() == BillingPosition(7, 6)
    now += 2
    assert await stores.billing() is None
