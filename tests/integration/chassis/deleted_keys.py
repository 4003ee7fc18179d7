"""Deletes keys of every bucket that keeps its keys on disk, and kills nats-server many times."""

import asyncio

import pytest

from chassis.nats import Bus
from chassis.nats.jetstream import config
from chassis.nats.kv import bucket as module
from contracts.streams import IDEMPOTENCY, LEADERS, PREJOINED, QUEUE, SEATS, SLOTS, AnyBucket
from contracts.streams import KEYS as WORDS_KEYS
from tests.support.servers import NatsServer

KEYS = 20
MARKER_S = 2  # instead of a minute
BUCKETS: tuple[AnyBucket, ...] = (SLOTS, LEADERS, PREJOINED, QUEUE, WORDS_KEYS, SEATS, IDEMPOTENCY)


async def stay_deleted(bus: Bus, server: NatsServer, patch: pytest.MonkeyPatch, *, kills: int) -> None:
    """Delete keys, let the markers expire that do, and look after each kill."""
    deleted = {f"{n}" for n in range(KEYS)}
    for spec in BUCKETS:
        bucket = bus.bucket(spec)
        await bucket.put("kept", b"old")
        await bucket.put("kept", b"new")
    patch.setattr(module, "_DELETE_MARKER_TTL_S", MARKER_S)
    patch.setattr(config, "_MARKER_TTL_S", MARKER_S)
    await bus.ensure([], BUCKETS)
    for spec in BUCKETS:
        bucket = bus.bucket(spec)
        revisions = [await bucket.put(key, b"a", ttl_s=1 if spec.key_ttl_s else None) for key in deleted]
        await asyncio.gather(*(bucket.delete(key, at) for key, at in zip(deleted, revisions, strict=True)))
    await asyncio.sleep(2 * MARKER_S + 1)
    back = asyncio.Event()

    async def reconnected() -> None:
        back.set()

    bus.on_reconnect(reconnected)
    for kill in range(kills):
        back.clear()
        server.restart()
        async with asyncio.timeout(10):
            await back.wait()
        for spec in BUCKETS:
            await bus.bucket(spec).put("young", b"a", deadline_s=8, ttl_s=1 if spec.key_ttl_s else None)
            found = await bus.bucket(spec).all(deadline_s=8)
            assert not found.keys() & deleted, (spec.name, kill, found)
            assert spec.key_ttl_s or found["kept"].data == b"new", "a value that was replaced stays replaced"
