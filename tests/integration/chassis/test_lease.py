"""Leases: one holder, who knows when it has lost."""

import asyncio
import time

import pytest

from chassis.nats import Bus
from chassis.nats.kv.lease import Lease
from contracts.registry import Leader
from contracts.streams import LEADERS
from tests.support.servers import NatsServer
from tests.support.waiting import until


def lease(bus: Bus, holder: str, ttl_s: int = 1) -> Lease:
    return Lease(bus.bucket(LEADERS), "role", holder, ttl_s)


class Role:
    """What `run` calls; asserts that gains and losses alternate."""

    def __init__(self, bus: Bus, holder: str, ttl_s: int = 1) -> None:
        self.lease = lease(bus, holder, ttl_s)
        self.leads = False
        self.gains = 0
        self.gained_at = 0.0
        self.lost_at = 0.0
        self.task = asyncio.create_task(self.lease.run(self._gained, self._lost))

    async def _gained(self) -> None:
        assert not self.leads
        self.leads = True
        self.gains += 1
        self.gained_at = time.monotonic()

    async def _lost(self) -> None:
        self.leads = False
        self.lost_at = time.monotonic()

    async def stop(self) -> None:
        self.task.cancel()
        await asyncio.wait({self.task})


async def test_only_one_gets_it(bus: Bus) -> None:
    leases = [lease(bus, f"n{n}") for n in range(5)]

    got = await asyncio.gather(*(each.acquire() for each in leases))

    assert sum(got) == 1
    assert [each.is_held for each in leases] == got
    entry = await bus.bucket(LEADERS).get("role")
    assert entry is not None
    assert Leader.model_validate_json(entry.data).holder == leases[got.index(True)].holder


async def test_a_holder_that_does_not_renew_knows_it_before_the_server_lets_go(bus: Bus) -> None:
    one, two = lease(bus, "one"), lease(bus, "two")
    started = time.monotonic()
    assert await one.acquire()

    while one.is_held:
        assert not (await two.acquire() and one.is_held)
        assert time.monotonic() - started < 4
        await asyncio.sleep(0.02)

    await until(two.acquire, 4)
    assert not one.is_held
    assert not await one.renew()
    assert not one.is_held


async def test_a_renewed_lease_is_kept_and_not_for_ever(bus: Bus) -> None:
    one, two = lease(bus, "one", 3), lease(bus, "two", 3)
    assert await one.acquire()
    first = one.revision
    for _ in range(4):
        await asyncio.sleep(0.9)
        await until(one.renew, 3)
        assert not await two.acquire()
    assert one.revision > first

    await until(two.acquire, 5.5)  # before the 6 s after which a key that never expires is taken over


async def test_a_released_lease_is_free_at_once(bus: Bus) -> None:
    one, two = lease(bus, "one", 30), lease(bus, "two", 30)
    assert await one.acquire()
    await one.release()
    assert not one.is_held
    assert await two.acquire()
    await one.release()
    assert await two.renew()


async def test_a_stranger_under_the_key_is_respected(bus: Bus) -> None:
    await bus.bucket(LEADERS).put("role", b"something else", ttl_s=30)
    assert not await lease(bus, "one").acquire()


async def test_the_stand_by_takes_over_when_the_leader_stops(bus: Bus) -> None:
    one = Role(bus, "one", 5)
    await until(lambda: one.leads)
    two = Role(bus, "two", 5)
    await asyncio.sleep(0.3)
    assert not two.leads

    await one.stop()
    assert not one.leads
    await until(lambda: two.leads, 2)
    await two.stop()


async def test_the_stand_by_takes_over_when_the_leader_is_cut_off(bus: Bus, nats_url: str) -> None:
    other = await Bus.connect(nats_url, name="other")
    one = Role(bus, "one", 2)
    await until(lambda: one.leads)
    two = Role(other, "two", 2)

    await bus.nc.close()
    await until(lambda: two.leads, 8)
    assert not one.leads
    assert one.lost_at < two.gained_at

    await one.stop()
    await two.stop()
    await other.close()


async def test_a_short_outage_costs_nothing_and_a_long_one_the_lease(bus: Bus, nats_server: NatsServer) -> None:
    one = Role(bus, "one", 4)
    await until(lambda: one.leads)
    nats_server.restart()
    await asyncio.sleep(3)
    assert (one.leads, one.gains) == (True, 1)

    nats_server.kill9()
    await until(lambda: not one.leads, 5)
    nats_server.start()
    await until(lambda: one.leads, 8)
    assert one.gains == 2
    await one.stop()


async def test_a_takers_key_is_noticed_at_the_next_renewal(bus: Bus) -> None:
    one = Role(bus, "one", 3)
    await until(lambda: one.leads)

    await bus.bucket(LEADERS).put("role", Leader(holder="usurper").model_dump_json().encode(), ttl_s=2)

    await until(lambda: not one.leads, 2)
    await until(lambda: one.leads, 5)
    await one.stop()


async def test_a_leader_whose_start_fails_gives_the_lease_back(bus: Bus) -> None:
    calls: list[str] = []

    async def bug() -> None:
        calls.append("gained")
        raise RuntimeError("bug")

    async def lost() -> None:
        calls.append("lost")

    one = lease(bus, "one", 30)
    task = asyncio.create_task(one.run(bug, lost))
    await until(lambda: calls == ["gained", "lost"])
    two = lease(bus, "two", 30)

    assert await two.acquire()
    task.cancel()
    await asyncio.wait({task})


async def test_a_leader_that_never_returns_is_cancelled_when_it_loses(bus: Bus) -> None:
    calls: list[str] = []

    async def lead() -> None:
        calls.append("gained")
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            calls.append("cancelled")
            raise

    async def lost() -> None:
        calls.append("lost")

    task = asyncio.create_task(lease(bus, "one", 3).run(lead, lost))
    await until(lambda: calls == ["gained"])
    await asyncio.sleep(3.3)
    assert calls == ["gained"]  # renewals go on beside it

    task.cancel()
    await asyncio.wait({task})
    assert calls == ["gained", "cancelled", "lost"]


@pytest.mark.parametrize("ttl_s", [1, 5])
async def test_the_key_carries_its_ttl_after_each_renewal(bus: Bus, ttl_s: int) -> None:
    one = lease(bus, "one", ttl_s)
    assert await one.acquire()
    assert await one.renew()
    stored = await bus.js.get_last_msg("KV_leaders", "$KV.leaders.role")
    assert (stored.headers or {})["Nats-TTL"] == str(ttl_s)


@pytest.mark.parametrize("value", [b"\xff", b'{"holder": "long gone"}'])
async def test_a_key_that_nobody_renews_and_that_never_expires_is_taken_over(bus: Bus, value: bytes) -> None:
    bucket = bus.bucket(LEADERS)
    await bus.nc.publish("$KV.leaders.role", value)  # without a TTL, as no holder writes it
    mine = Lease(bucket, "role", "me", ttl_s=1)
    began = time.monotonic()

    while not await mine.acquire():
        assert time.monotonic() - began < 10
        await asyncio.sleep(0.05)

    assert time.monotonic() - began >= 2, "a holder could still have renewed it"
    assert mine.is_held
