"""The bucket `seats`: what its adapter makes of a full bucket, an unreadable or expired value and a race."""

from typing import cast

import pytest
from structlog.testing import capture_logs

from chassis.nats import Bucket, Bus, KeyChanged, KeyExists, StreamFull
from chassis.nats.kv.bucket import Entry
from contracts.errors import Refused
from contracts.registry import Seat
from contracts.streams import SEATS
from gateway.adapters.nats_seats import NatsSeats
from gateway.ports import NatsUnavailable


class FakeBucket:
    """One key at most, stored at 0 s, whose last revision counts."""

    spec = SEATS

    def __init__(self, value: bytes | None = None) -> None:
        self.value = value
        self.revision = 1
        self.is_full = False
        self.races = 0

    async def create(self, key: str, value: Seat, *, deadline_s: float) -> int:
        if self.value is not None:
            raise KeyExists(SEATS.name, key, self.revision)
        if self.is_full:
            raise StreamFull("writing", "nats://nats")
        self.value = value.model_dump_json().encode()
        return self.revision

    async def get(self, key: str, *, deadline_s: float) -> Entry[Seat] | None:
        return None if self.value is None else Entry(SEATS, key, self.value, self.revision, 0)

    async def update(self, key: str, value: Seat, revision: int, *, deadline_s: float) -> int:
        if self.is_full:
            raise StreamFull("writing", "nats://nats")
        if self.races:
            self.races -= 1
            self.value, self.revision = b'{"user": "faster"}', self.revision + 1
        if revision != self.revision:
            raise KeyChanged(SEATS.name, key, self.revision)
        self.value, self.revision = value.model_dump_json().encode(), revision + 1
        return self.revision


class FakeBus:
    def __init__(self, bucket: FakeBucket) -> None:
        self._bucket = bucket

    def bucket(self, _spec: object) -> Bucket[Seat]:
        return cast("Bucket[Seat]", self._bucket)


def seats(bucket: FakeBucket, *, now_s: float = 1) -> NatsSeats:
    return NatsSeats(cast(Bus, FakeBus(bucket)), deadline_s=1, now=lambda: now_s)


@pytest.mark.parametrize("value", [None, b"{"], ids=["a new key", "an unreadable one"])
async def test_a_full_bucket_is_named_and_is_no_outage(value: bytes | None) -> None:
    bucket = FakeBucket(value)
    bucket.is_full = True

    with pytest.raises(Refused) as refused:
        await seats(bucket).take("session_a", "ann")

    assert not isinstance(refused.value, NatsUnavailable)
    assert (refused.value.problem.code, refused.value.problem.fault) == ("seats_full", "capacity")
    assert "SEATS_MAX_MB" in refused.value.problem.fix
    assert refused.value.retry_after_s


async def test_a_seat_in_a_full_bucket_is_still_known() -> None:
    bucket = FakeBucket(b'{"user": "ann"}')
    bucket.is_full = True

    assert await seats(bucket).take("session_a", "bob") == "ann"


async def test_an_unreadable_seat_gives_way_and_blocks_no_id() -> None:
    bucket = FakeBucket(b"\xff{")

    with capture_logs() as lines:
        assert await seats(bucket).take("session_unreadable", "ann") == "ann"
    assert [(line["event"], line["bucket"]) for line in lines] == [("value.unreadable", "seats")]
    assert await seats(bucket).take("session_unreadable", "bob") == "ann"


async def test_a_faster_user_keeps_an_unreadable_seat() -> None:
    bucket = FakeBucket(b"{")
    bucket.races = 1

    assert await seats(bucket).take("session_a", "ann") == "faster"


@pytest.mark.parametrize(("hours", "holder"), [(2.9, "ann"), (3.1, "bob")])
async def test_a_seat_past_its_age_came_back_with_nats_and_gives_way(hours: float, holder: str) -> None:
    bucket = FakeBucket(b'{"user": "ann"}')

    assert await seats(bucket, now_s=hours * 3600).take("session_a", "bob") == holder
    assert await seats(bucket).take("session_a", "eve") == holder
