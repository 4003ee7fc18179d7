"""Streams that exist already: what a service brings up to date, and what it leaves to the owner."""

import asyncio
import time
from dataclasses import replace

import pytest
from nats.js.errors import APIError

from chassis.nats import Bus, BusUnavailable, NoDisk
from chassis.nats.jetstream.config import stream_config
from contracts.streams import BUCKETS, IDEMPOTENCY, NODES, SESSIONS, SHAPE, STREAMS, StreamSpec, reserved_bytes
from tests.support.servers import NatsServer
from tests.support.waiting import until

MIB = 1024**2


async def test_the_log_of_an_earlier_version_becomes_append_only_and_keeps_its_messages(nats_url: str) -> None:
    bus = await Bus.connect(nats_url, name="test", graceful_timeout_s=1)
    await bus.ensure([replace(SESSIONS, append_only=False)])
    await bus.js.publish("voice.v1.session.tick.s1", b"{}")

    await bus.ensure([SESSIONS])

    info = await bus.js.stream_info("SESSIONS")
    assert (info.config.deny_delete, info.config.deny_purge, info.state.messages) == (True, True, 1)
    with pytest.raises(APIError, match="purge not permitted"):
        await bus.js.purge_stream("SESSIONS")
    with pytest.raises(APIError, match="delete not permitted"):
        await bus.js.delete_msg("SESSIONS", 1)
    await bus.close()


async def test_a_service_updates_what_it_owns_and_leaves_the_rest_as_it_is(nats_url: str) -> None:
    bus = await Bus.connect(nats_url, name="test", graceful_timeout_s=1)
    await bus.ensure([replace(SESSIONS, max_age_s=600)], [replace(IDEMPOTENCY, ttl_s=600)])

    await bus.ensure(STREAMS, BUCKETS, owned=(IDEMPOTENCY,))

    assert (await bus.js.stream_info("SESSIONS")).config.max_age == 600
    assert (await bus.js.stream_info("KV_idempotency")).config.max_age == IDEMPOTENCY.ttl_s
    assert (await bus.js.stream_info("ROOMS")).config.name == "ROOMS", "what is missing is made"
    await bus.close()


async def test_a_disk_that_is_too_small_is_named_at_once(nats_url: str) -> None:
    bus = await Bus.connect(nats_url, name="test", graceful_timeout_s=1)

    with pytest.raises(NoDisk, match="insufficient storage resources") as caught:
        await bus.ensure([replace(SESSIONS, name="HUGE", subjects=("huge",), max_bytes=2**60)])

    line = str(caught.value)
    assert "nats-server's disk has no room for the stream HUGE" in line
    assert "SESSIONS_MAX_MB" in line
    assert "NATS_URL" not in line
    await bus.close()


async def test_all_streams_and_buckets_fit_on_a_disk_with_4_gb_free(nats_server: NatsServer) -> None:
    nats_server.configure(jetstream=f"max_file_store: {round(4e9 * 0.75)}")
    nats_server.restart()
    bus = await Bus.connect(nats_server.url, name="test", graceful_timeout_s=1)

    await bus.ensure(STREAMS, BUCKETS)

    assert reserved_bytes() < 4e9 * 0.75
    await bus.close()


async def test_a_bound_that_is_not_chosen_never_shrinks_and_one_that_is_keeps_what_is_stored(nats_url: str) -> None:
    bus = await Bus.connect(nats_url, name="test", graceful_timeout_s=1)
    await bus.ensure([replace(SESSIONS, max_bytes=64 * MIB, max_age_s=900)])
    for _ in range(8):
        await bus.js.publish("voice.v1.session.tick.s1", b"x" * 300_000)

    async def declared(spec: StreamSpec) -> tuple[int, int, int]:
        await bus.ensure([spec])
        info = await bus.js.stream_info("SESSIONS")
        return info.config.max_bytes or 0, round(info.config.max_age or 0), info.state.messages

    defaults = replace(SESSIONS, max_bytes=32 * MIB, max_age_s=600)
    assert await declared(defaults) == (64 * MIB, 900, 8), "another version's default is smaller"
    assert await declared(replace(defaults, is_set=True)) == (32 * MIB, 600, 8), "the operator's word"
    bytes_used, _, messages = await declared(replace(defaults, max_bytes=1 * MIB, is_set=True))
    assert messages == 8, "nothing stored is lost"
    assert 8 * 300_000 < bytes_used < 3 * MIB
    bus.redeclare_soon()
    assert bus._redeclaring is not None
    await bus._redeclaring
    assert (await declared(replace(SESSIONS, max_bytes=128 * MIB)))[0] == 128 * MIB, "it grows"
    await bus.close()


async def test_an_older_version_leaves_the_stream_of_a_newer_one_as_it_is(nats_url: str) -> None:
    bus = await Bus.connect(nats_url, name="test", graceful_timeout_s=1)
    newer = stream_config(replace(SESSIONS, max_bytes=64 * MIB), replicas=1)
    newer.metadata = {"greenroom-shape": str(SHAPE + 1)}
    await bus.js.add_stream(newer)

    await bus.ensure([replace(SESSIONS, max_bytes=128 * MIB)])

    assert (await bus.js.stream_info("SESSIONS")).config.max_bytes == 64 * MIB
    await bus.close()


async def test_a_stream_that_fits_no_more_after_a_restart_is_used_as_it_is(nats_server: NatsServer) -> None:
    bus = await Bus.connect(nats_server.url, name="test", graceful_timeout_s=1)
    await bus.ensure([replace(SESSIONS, max_bytes=256 * MIB)])
    nats_server.configure(jetstream="max_file_store: 100MB")
    nats_server.restart()
    await until(lambda: bus.is_connected, 10)

    await bus.ensure([replace(SESSIONS, max_bytes=300 * MIB)])

    assert (await bus.js.stream_info("SESSIONS")).config.max_bytes == 256 * MIB
    await bus.close()


async def test_a_lost_store_is_made_again_within_5_s_and_holds_nothing_against_anything(
    nats_server: NatsServer,
) -> None:
    bus = await Bus.connect(nats_server.url, name="test", graceful_timeout_s=1)
    await bus.ensure(STREAMS, BUCKETS)
    await bus.bucket(NODES).put("n1", b"{}")
    reader = aiter(bus.replay("voice.v1.session.>"))
    for n in range(3):
        await bus.js.publish("voice.v1.session.tick.s1", str(n).encode())
        assert (await anext(reader)).seq == n + 1
    nats_server.kill9()
    nats_server.lose_store()
    nats_server.start()
    began = time.monotonic()

    await until(lambda: bus.is_connected, 10)
    await bus.bucket(NODES).put("n1", b"{}")
    for n in range(5):  # the new stream is past the reader's position before it looks
        await bus.js.publish("voice.v1.session.tick.s1", str(n).encode())

    assert time.monotonic() - began < 5
    assert await bus.checks["streams"]() is None
    assert (await anext(reader)).seq == 1, "a stream that was made anew is read from its beginning"
    await bus.close()


async def test_while_its_streams_cannot_be_made_again_a_service_is_not_ready_and_says_so(
    nats_server: NatsServer,
) -> None:
    bus = await Bus.connect(nats_server.url, name="test", graceful_timeout_s=1)
    await bus.ensure([replace(SESSIONS, max_bytes=256 * MIB)])
    nats_server.kill9()
    nats_server.lose_store()
    nats_server.configure(jetstream="max_file_store: 100MB")
    nats_server.start()
    await until(lambda: bus.is_connected, 10)

    reason = ""
    while not reason:
        reason = await bus.checks["streams"]() or ""
        await asyncio.sleep(0.02)
    with pytest.raises(BusUnavailable):
        await bus.history("session_1_abc", deadline_s=0.5)  # not "it has none"

    assert "disk has no room for the stream SESSIONS (256 MB)" in reason
    await bus.close()


async def test_a_stream_that_was_deleted_is_made_again_when_it_is_missed(bus: Bus) -> None:
    await bus.js.delete_stream("KV_nodes")

    await bus.bucket(NODES).put("n1", b"{}")

    assert (await bus.bucket(NODES).all()).keys() == {"n1"}
