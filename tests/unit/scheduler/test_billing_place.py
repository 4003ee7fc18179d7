from types import SimpleNamespace
from typing import cast

from chassis.nats import Bus
from nats.js.api import ConsumerInfo
from nats.js.errors import NotFoundError
from scheduler.adapters.nats_stores import NatsStores
from scheduler.domain.log_room import BillingPlace


class FakeJetStream:
    """The consumer `billing`; None: there is none."""

    def __init__(self) -> None:
        self.found: SimpleNamespace | None = None

    async def consumer_info(self, stream: str, consumer: str) -> ConsumerInfo:
        assert (stream, consumer) == ("SESSIONS", "billing")
        if self.found is None:
            raise NotFoundError
        return cast(ConsumerInfo, self.found)


async def test_a_look_between_two_marks_of_billing_keeps_the_last_answer_for_a_minute() -> None:
    js, now = FakeJetStream(), 1_000.0
    stores = NatsStores(cast(Bus, SimpleNamespace(js=js)), clock=lambda: now)
    assert await stores.billing() is None
    js.found = SimpleNamespace(ack_floor=SimpleNamespace(stream_seq=7), num_pending=5, num_ack_pending=1)
    assert await stores.billing() == BillingPlace(7, 6)

    js.found = None
    now += 59
    assert await stores.billing() == BillingPlace(7, 6)
    now += 2
    assert await stores.billing() is None
