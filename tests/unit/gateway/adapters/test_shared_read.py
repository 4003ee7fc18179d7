"""A reading that many share, for ten times as long as it took."""

import asyncio

import pytest

from gateway.adapters.shared_read import SharedRead


class Slow:
    """A reading that takes so many seconds of a fake clock."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.now = 0.0
        self.reads = 0
        self.failure: Exception | None = None
        self.kept = SharedRead(self.read, clock=lambda: self.now)

    async def read(self) -> int:
        await asyncio.sleep(0)
        self.now += self.seconds
        if self.failure:
            raise self.failure
        self.reads += 1
        return self.reads


async def test_a_reading_is_kept_ten_times_as_long_as_it_took() -> None:
    slow = Slow(0.05)
    assert await slow.kept.get() == 1

    slow.now += 0.49
    assert await slow.kept.get() == 1
    slow.now += 0.02
    assert await slow.kept.get() == 2


async def test_it_is_kept_two_seconds_at_most() -> None:
    slow = Slow(5)
    assert await slow.kept.get() == 1

    slow.now += 2
    assert await slow.kept.get() == 2


async def test_who_asks_at_once_shares_one_reading() -> None:
    slow = Slow(0.05)

    assert await asyncio.gather(*(slow.kept.get() for _ in range(20))) == [1] * 20


async def test_who_leaves_does_not_end_the_reading_of_the_others() -> None:
    slow = Slow(0.05)
    leaving, staying = asyncio.create_task(slow.kept.get()), asyncio.create_task(slow.kept.get())
    await asyncio.sleep(0)

    leaving.cancel()

    assert await staying == 1


async def test_a_failure_is_told_and_not_kept() -> None:
    slow = Slow(0.05)
    slow.failure = ValueError("away")
    with pytest.raises(ValueError, match="away"):
        await slow.kept.get()

    slow.failure = None
    assert await slow.kept.get() == 1
