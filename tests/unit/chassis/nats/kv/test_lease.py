"""A lease on a bucket that goes away, and on clocks that jump: one term, one hold."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from structlog.testing import capture_logs

from chassis.nats import BusUnavailable, Entry, KeyChanged, KeyExists
from chassis.nats.kv.lease import Lease
from contracts.registry import Leader
from contracts.streams import LEADERS
from tests.support.virtual_time import VirtualTimeLoop, run

TTL_S = 5


class Bucket:
    """One key with a TTL, on the server's own clock.

    Attributes:
        away_s: From when to when no call is answered.
        ahead_s: How far the server's clock was set forward.
    """

    def __init__(self, loop: VirtualTimeLoop) -> None:
        self.away_s = (0.0, 0.0)
        self.ahead_s = 0.0
        self._loop = loop
        self._revision = 0
        self._entry: tuple[bytes, int, float] | None = None

    async def create(self, key: str, value: Leader, *, ttl_s: int, deadline_s: float) -> int:
        await self._reach(deadline_s)
        if (entry := self._current()) is not None:
            raise KeyExists("leaders", key, entry[1])
        return self._write(value, ttl_s)

    async def update(self, key: str, value: Leader, revision: int, *, ttl_s: int, deadline_s: float) -> int:
        await self._reach(deadline_s)
        entry = self._current()
        if entry is None or entry[1] != revision:
            raise KeyChanged("leaders", key, 0 if entry is None else entry[1])
        return self._write(value, ttl_s)

    async def get(self, key: str, *, deadline_s: float) -> Entry[Leader] | None:
        await self._reach(deadline_s)
        entry = self._current()
        return None if entry is None else Entry(LEADERS, key, entry[0], entry[1], 0)

    async def delete(self, key: str, revision: int, *, deadline_s: float) -> None:
        await self._reach(deadline_s)
        entry = self._current()
        if entry is None or entry[1] != revision:
            raise KeyChanged("leaders", key, 0)
        self._entry = None

    def lost_its_store(self) -> None:
        self._entry, self._revision = None, 0

    def _now(self) -> float:
        return self._loop.time() + self.ahead_s

    def _current(self) -> tuple[bytes, int, float] | None:
        return self._entry if self._entry is not None and self._now() < self._entry[2] else None

    def _write(self, value: Leader, ttl_s: int) -> int:
        self._revision += 1
        self._entry = value.model_dump_json().encode(), self._revision, self._now() + ttl_s
        return self._revision

    async def _reach(self, deadline_s: float) -> None:
        since, until = self.away_s
        if since <= self._loop.time() < until:
            await asyncio.sleep(min(deadline_s, until - self._loop.time()))
            if self._loop.time() < until:
                raise BusUnavailable("leaders", "nats://x")


class Scene:
    """A holder that runs; `held` is what `is_held` said at each tenth of a second, by term."""

    def __init__(self) -> None:
        self.loop = VirtualTimeLoop()
        self.began = self.loop.time()
        self.bucket = Bucket(self.loop)
        self.lease = self.holder("one")
        self.terms: list[int] = []
        self.held: list[tuple[int, bool]] = []

    def holder(self, name: str) -> Lease:
        return Lease(self.bucket, "role", name, TTL_S, clock=self.loop.time)  # type: ignore[arg-type]

    async def lead(self) -> None:
        self.terms.append(self.lease.term)
        while True:
            self.held.append((len(self.terms), self.lease.is_held))
            await asyncio.sleep(0.1)

    async def lost(self) -> None:
        return

    def play(self, seconds: float, *events: tuple[float, Callable[[], Any]]) -> None:
        async def main() -> None:
            task = asyncio.create_task(self.lease.run(self.lead, self.lost))
            for at_s, event in events:
                await asyncio.sleep(self.began + at_s - self.loop.time())
                event()
            await asyncio.sleep(self.began + seconds - self.loop.time())
            task.cancel()

        run(main(), self.loop)


@pytest.mark.parametrize("since_s", [0.5, 1.0, 1.5, 1.6, 2.0, 3.0])
def test_an_outage_shorter_than_the_hold_costs_no_term(since_s: float) -> None:
    scene = Scene()
    scene.bucket.away_s = (scene.began + since_s, scene.began + since_s + 2.2)

    scene.play(20)

    assert len(scene.terms) == 1
    assert all(held for _, held in scene.held)


@pytest.mark.parametrize("frozen_s", [2.9, 3.1, 4.5, 4.9, 30.0])
def test_a_hold_that_has_lapsed_does_not_revive_within_its_term(frozen_s: float) -> None:
    scene = Scene()

    scene.play(60, (8.0, lambda: scene.loop.skip(frozen_s)))

    for term in range(1, len(scene.terms) + 1):
        held = [held for number, held in scene.held if number == term]
        assert held == sorted(held, reverse=True)
    assert scene.held[-1][1]


def test_a_hold_whose_renewal_is_answered_too_late_has_lapsed() -> None:
    scene = Scene()
    scene.bucket.away_s = (scene.began + 1.5, scene.began + 4.6)

    scene.play(20)

    assert len(scene.terms) == 2
    assert scene.terms[1] > scene.terms[0]


def test_a_servers_clock_that_is_set_forward_costs_no_term() -> None:
    scene = Scene()

    scene.play(20, (8.0, lambda: setattr(scene.bucket, "ahead_s", 3600.0)))

    assert len(scene.terms) == 1


def test_a_term_that_a_lost_store_put_behind_is_raised_by_its_holder_alone() -> None:
    scene = Scene()

    async def main() -> None:
        former = scene.holder("former")
        for _ in range(9):
            assert await former.acquire()
            await former.release()
        assert await former.acquire()
        scene.bucket.lost_its_store()
        assert await scene.lease.acquire()
        assert scene.lease.term < former.term
        assert await scene.lease.outbid(former.term)
        assert scene.lease.term > former.term
        assert not await former.outbid(scene.lease.term)

    run(main(), scene.loop)


def test_a_process_that_leads_again_knows_whether_it_saw_another_lead() -> None:
    scene = Scene()

    async def main() -> None:
        assert await scene.lease.acquire()
        scene.bucket.lost_its_store()
        await asyncio.sleep(TTL_S)
        assert await scene.lease.acquire()
        assert (scene.lease.gains, scene.lease.others_seen) == (2, 0)
        await scene.lease.release()
        other = scene.holder("other")
        assert await other.acquire()
        assert not await scene.lease.acquire()
        await other.release()
        assert await scene.lease.acquire()
        assert (scene.lease.gains, scene.lease.others_seen) == (3, 1)

    run(main(), scene.loop)


def test_a_bug_of_the_leader_that_comes_with_the_loss_of_the_lease_is_logged() -> None:
    scene = Scene()

    async def lead() -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            raise ValueError("in the clean-up")

    scene.lead = lead  # type: ignore[method-assign]
    scene.bucket.away_s = (scene.began + 1.5, scene.began + 10)
    with capture_logs() as lines:
        scene.play(8)

    assert "lease.leader_bug" in [line["event"] for line in lines]
