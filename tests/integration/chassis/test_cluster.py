"""Three nodes, three copies: what is acknowledged survives the loss of one node."""

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from chassis.nats import Bus, Replay
from chassis.tasks import cancel
from contracts.streams import BUCKETS, SLOTS, STREAMS
from contracts.subjects import session_event
from tests.integration.chassis.events import tick
from tests.support.servers import NatsServer, free_port
from tests.support.waiting import until


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[list[NatsServer]]:
    routes = [free_port() for _ in range(3)]
    peers = ", ".join(f'"nats://127.0.0.1:{port}"' for port in routes)
    servers = [
        NatsServer(
            tmp_path / f"n{n}",
            config=f'server_name: n{n}\ncluster {{ name: test, listen: "127.0.0.1:{port}", routes: [{peers}] }}',
        )
        for n, port in enumerate(routes)
    ]
    for server in servers:
        server.start()
    yield servers
    for server in servers:
        server.kill9()


async def read(replay: Replay, into: list[int]) -> None:
    async for stored in replay:
        into.append(stored.seq)


async def test_nothing_acknowledged_is_lost_with_the_leader(cluster: list[NatsServer]) -> None:
    bus = await Bus.connect(",".join(server.url for server in cluster), name="test", replicas=3)
    await bus.ensure(STREAMS, BUCKETS, deadline_s=20)
    seen: list[int] = []

    reader = asyncio.create_task(read(bus.replay(session_event("tick", "*")), seen))
    for n in range(20):
        await bus.publish(tick(served_ms=n))
    await bus.bucket(SLOTS).put("0", b"session_1")
    info = await bus.js.stream_info("SESSIONS")
    assert info.cluster is not None
    assert info.config.num_replicas == 3

    leader = next(server for n, server in enumerate(cluster) if f"n{n}" == info.cluster.leader)
    leader.kill9()
    started = time.monotonic()
    for n in range(20, 40):
        assert not (await bus.publish(tick(served_ms=n), expect_last=n)).duplicate
    assert time.monotonic() - started < 12

    history = await bus.history("session_1", deadline_s=10)
    assert [stored.seq for stored in history] == list(range(1, 41))
    assert set(await bus.bucket(SLOTS).all(deadline_s=10)) == {"0"}
    await until(lambda: set(seen) == set(range(1, 41)), 15)

    leader.start()
    await asyncio.sleep(1)
    assert (await bus.publish(tick(served_ms=40))).seq == 41
    assert len(await bus.history("session_1", deadline_s=10)) == 41
    await cancel(reader)
    await bus.close()


async def test_a_reader_whose_consumer_is_on_a_frozen_server_reads_on_within_seconds(cluster: list[NatsServer]) -> None:
    ours, *others = cluster
    bus = await Bus.connect(ours.url, name="test", replicas=3)
    await bus.ensure(STREAMS, BUCKETS, deadline_s=20)
    stream = (await bus.js.stream_info("SESSIONS")).cluster
    assert stream is not None
    seen: list[int] = []

    # NATS places the consumers: open readers until one's is on a server that neither leads the stream nor holds our
    # connection.
    tasks: list[asyncio.Task[None]] = []
    frozen: NatsServer | None = None
    while frozen is None:
        assert len(tasks) < 30, "no consumer was placed there"
        replay = bus.replay(session_event("tick", "*"))
        tasks.append(asyncio.create_task(read(replay, seen)))
        await replay.caught_up.wait()
        infos = await bus.js.consumers_info("SESSIONS")
        hosts = {info.cluster.leader for info in infos if info.cluster is not None} - {stream.leader}
        frozen = next((s for n, s in enumerate(cluster) if s in others and f"n{n}" in hosts), None)
    frozen.freeze()
    await bus.publish(tick(served_ms=1), deadline_s=20)
    began = time.monotonic()

    await until(lambda: len(seen) == len(tasks), 30)

    assert time.monotonic() - began < 15
    await cancel(*tasks)
    frozen.thaw()
    await bus.close()
