"""Streams that exist already: what a service brings up to date, and what it leaves to the owner."""

from dataclasses import replace

import pytest
from chassis.nats import Bus, BusRefused
from contracts.streams import BUCKETS, IDEMPOTENCY, SESSIONS, STREAMS
from nats.js.errors import APIError


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

    with pytest.raises(BusRefused, match="insufficient storage resources") as caught:
        await bus.ensure([replace(SESSIONS, name="HUGE", subjects=("huge",), max_bytes=2**60)])

    assert "more disk" in str(caught.value)
    await bus.close()
