"""SESSIONS at its bound while billing is away: nothing unbilled goes, starts are refused in time."""

import time

from nats.js.api import ConsumerConfig

from chassis.nats import Bus
from contracts.registry import QUEUE_KEY, QueueState
from contracts.streams import QUEUE
from tests.integration.scheduler.conftest import Start
from tests.support.waiting import until

BIG = b"x" * 400_000


async def reported(bus: Bus) -> bool:
    entry = await bus.bucket(QUEUE).get(QUEUE_KEY)
    return entry is not None and QueueState.model_validate_json(entry.data).log_is_full


async def wait_for_report(bus: Bus, *, full: bool, limit_s: float = 10) -> None:
    end = time.monotonic() + limit_s
    while await reported(bus) != full:
        assert time.monotonic() < end, f"the log was never reported full={full}"


async def test_a_log_full_of_what_billing_has_not_read_refuses_starts_until_it_has(bus: Bus, start: Start) -> None:
    await bus.js.add_consumer("SESSIONS", ConsumerConfig(name="billing", durable_name="billing"))
    process = start(SESSIONS_MAX_MB="16", MAX_BOTS="1", SESSION_TIMEOUT="60000", STREAMS_LOOK_S="0.2")
    await until(process.leads, what="it never led")
    assert (await bus.js.stream_info("SESSIONS")).config.max_bytes == 16 * 1024**2
    await wait_for_report(bus, full=False)

    for _ in range(38):  # 14.5 of 16 MB
        await bus.js.publish("voice.v1.session.tick.session_1_a", BIG)
    await wait_for_report(bus, full=True)
    assert (await bus.js.stream_info("SESSIONS")).state.first_seq == 1, "nothing unread is gone"

    reader = await bus.js.pull_subscribe("", stream="SESSIONS", durable="billing")
    for _ in range(38):
        [message] = await reader.fetch(1, timeout=5)
        await message.ack()
    await wait_for_report(bus, full=False)
    assert 'scheduler_stream_used_ratio{stream="SESSIONS"} 0.9' in process.metrics()
    assert "scheduler_billing_behind_messages 0.0" in process.metrics()
