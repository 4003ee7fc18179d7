from types import SimpleNamespace
from typing import cast

from chassis.nats import Bus, StreamPosition
from contracts.streams import SESSIONS, StreamSpec
from scheduler.adapters.nats_stores import NatsStores
from scheduler.domain.log_room import BillingPosition


async def test_a_look_between_two_marks_of_billing_keeps_the_last_answer_for_a_minute() -> None:
    position: StreamPosition | None = None
    now = 1_000.0

    async def position_of(stream: StreamSpec, durable: str) -> StreamPosition | None:
        assert (stream, durable) == (SESSIONS, "billing")
        return position

    stores = NatsStores(cast(Bus, SimpleNamespace(position_of=position_of)), clock=lambda: now)
    assert await stores.billing() is None
    position = StreamPosition(seq=7, waiting=6, begins=1, is_read=False)
    assert await stores.billing() == BillingPosition(7, 6)

    position = None
    now += 59
    assert await stores.billing() == BillingPosition(7, 6)
    now += 2
    assert await stores.billing() is None
