"""A bucket in memory: recreated after a restart of NATS, and where a former version left it in files."""

import asyncio
from dataclasses import replace

import pytest
from nats.js.api import StorageType

from chassis.nats import Bus, Change, ChangeKind
from contracts.streams import NODES, SLOTS
from tests.support.servers import NatsServer
from tests.support.waiting import until

IN_FILES = replace(NODES, in_memory=False)


async def storage(bus: Bus) -> StorageType | None:
    return (await bus.js.stream_info("KV_nodes")).config.storage


async def test_it_is_there_again_after_a_restart_and_its_watcher_hears_of_it(bus: Bus, nats_server: NatsServer) -> None:
    assert await storage(bus) == StorageType.MEMORY
    bucket, changes, ready = bus.bucket(NODES), list[Change](), asyncio.Event()

    async def see(change: Change) -> None:
        changes.append(change)

    await bucket.put("n1", b"a")
    await bucket.put("n2", b"a")
    watching = asyncio.create_task(bucket.watch(see, poll_s=0.5, ready=ready))
    await ready.wait()
    changes.clear()

    nats_server.restart()
    await bucket.put("n1", b"b", deadline_s=8)

    await until(lambda: {c.key: c.kind for c in changes} == {"n1": ChangeKind.PUT, "n2": ChangeKind.EXPIRED}, 8)
    assert set(await bucket.all()) == {"n1"}
    watching.cancel()
    await asyncio.wait({watching})


async def test_one_that_a_former_version_left_in_files_is_kept_until_it_is_made_anew(nats_server: NatsServer) -> None:
    bus = await Bus.connect(nats_server.url, name="test")
    await bus.ensure([], [IN_FILES])
    await bus.bucket(IN_FILES).put("old", b"a")

    await bus.ensure([], [NODES])
    assert await storage(bus) == StorageType.FILE
    assert set(await bus.bucket(NODES).all()) == {"old"}

    assert await bus.restore(NODES)
    assert await storage(bus) == StorageType.MEMORY
    assert await bus.bucket(NODES).all() == {}
    await bus.bucket(NODES).create("old", b"b")
    assert not await bus.restore(NODES)
    assert set(await bus.bucket(NODES).all()) == {"old"}
    await bus.close()


@pytest.mark.parametrize("ttl_s", [61, 3600])
async def test_no_value_outlives_the_marker_of_its_deletion(bus: Bus, ttl_s: int) -> None:
    with pytest.raises(ValueError, match="up to 60 s"):
        await bus.bucket(SLOTS).put("0", b"a", ttl_s=ttl_s)
