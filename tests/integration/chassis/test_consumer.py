"""Durable consumers: in order, redelivered within bounds, never deaf."""

import asyncio
import random
import time
from collections import defaultdict

import pytest
from chassis.nats import Bus, BusUnavailable, Consumer, Rejected, RetryLater, Stored, consumer
from chassis.nats import consumer as consumer_function
from chassis.nats.messaging.consumer import BACKOFF_S
from contracts.events import Event
from contracts.subjects import session_event
from nats.js.api import ConsumerConfig

from tests.integration.chassis.events import assigned, requested, tick
from tests.support.servers import NatsServer
from tests.support.waiting import until

TICKS = [session_event("tick", "*")]


class Seen:
    """A handler that remembers, and fails a given number of times."""

    def __init__(self, *failures: Exception) -> None:
        self.events: list[tuple[Event, Stored]] = []
        self.failures = list(failures)

    async def __call__(self, event: Event, meta: Stored) -> None:
        self.events.append((event, meta))
        if self.failures:
            raise self.failures.pop(0)

    @property
    def seqs(self) -> list[int]:
        return [meta.seq for _, meta in self.events]


async def started(bus: Bus, handler: object, **options: object) -> Consumer:
    made = consumer(bus, "reader", TICKS, handler, **options)  # pyright: ignore[reportArgumentType]
    await made.start()
    return made


async def settled(bus: Bus) -> bool:
    info = await bus.js.consumer_info("SESSIONS", "reader")
    return info.num_pending == 0 and info.num_ack_pending == 0


async def dead(bus: Bus) -> list[Stored]:
    return [message async for message in bus.replay("dead.>", until_caught_up=True)]


async def test_what_was_published_before_and_after_the_start_is_handled_once(bus: Bus) -> None:
    await bus.publish(tick(served_ms=1))
    seen = Seen()
    reader = await started(bus, seen)
    await bus.publish(tick(served_ms=2))
    await bus.publish(requested())  # not of its filter

    await until(lambda: len(seen.events) == 2)

    assert [event.served_ms for event, _ in seen.events] == [1, 2]  # pyright: ignore[reportAttributeAccessIssue]
    await until(lambda: settled(bus))
    await reader.stop()


async def test_several_filters_of_one_durable(bus: Bus) -> None:
    seen = Seen()
    reader = consumer_function(bus, "reader", [*TICKS, session_event("requested", "*")], seen)
    await reader.start()
    for event in (requested(), assigned(), tick()):
        await bus.publish(event)

    await until(lambda: settled(bus))

    assert [event.event for event, _ in seen.events] == ["requested", "tick"]
    await reader.stop()


async def test_a_durable_gets_its_new_configuration(bus: Bus) -> None:
    older = ConsumerConfig(name="reader", durable_name="reader", filter_subjects=["voice.v1.session.ended.*"])
    await bus.js.add_consumer("SESSIONS", older)
    seen = Seen()
    reader = await started(bus, seen)
    await bus.publish(tick())

    await until(lambda: len(seen.events) == 1)

    await reader.stop()


async def test_it_goes_on_from_where_it_was(bus: Bus, nats_url: str) -> None:
    first = Seen()
    reader = await started(bus, first)
    await bus.publish(tick(served_ms=1))
    await until(lambda: settled(bus))
    await reader.stop()
    await bus.publish(tick(served_ms=2))

    other = await Bus.connect(nats_url, name="test")
    second = Seen()
    again = await started(other, second)
    await until(lambda: len(second.events) == 1)
    await asyncio.sleep(0.2)

    assert (first.seqs, second.seqs) == ([1], [2])
    await again.stop()
    await other.close()


async def test_a_sessions_events_are_handled_in_order_and_sessions_beside_each_other(bus: Bus) -> None:
    order: dict[str, list[int]] = defaultdict(list)
    at_once = most = 0
    dice = random.Random(7)

    async def slow(event: Event, meta: Stored) -> None:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        await asyncio.sleep(dice.random() / 100)
        order[event.session_id].append(meta.seq)
        at_once -= 1

    for n in range(25):
        for session in range(8):
            await bus.publish(tick(f"session_{session}", n))
    reader = await started(bus, slow)

    await until(lambda: sum(map(len, order.values())) == 200)

    assert all(seqs == sorted(seqs) for seqs in order.values())
    assert most > 1
    await reader.stop()


async def test_a_bug_is_repeated_with_a_pause_and_then_a_dead_letter(bus: Bus) -> None:
    seen = Seen(*[RuntimeError("no such table: Ätsch")] * 9)
    reader = await started(bus, seen, max_deliver=2)
    event = tick()
    await bus.publish(event)

    await until(lambda: settled(bus))

    (letter,) = await dead(bus)
    assert [meta.deliveries for _, meta in seen.events] == [1, 2]
    assert letter.subject == f"dead.{event.subject}"
    assert letter.data == event.model_dump_json().encode()
    assert letter.headers["dead-reason"] == "RuntimeError: no such table: \\xc4tsch"
    assert letter.headers["dead-consumer"] == "reader"
    assert letter.headers["dead-deliveries"] == "2"
    assert letter.headers["ce-id"] == str(event.id)
    await reader.stop()


async def test_a_bug_that_passes_costs_only_time(bus: Bus) -> None:
    seen = Seen(RuntimeError("once"))
    reader = await started(bus, seen)
    await bus.publish(tick())

    await until(lambda: len(seen.events) == 2)
    await until(lambda: settled(bus))

    assert await dead(bus) == []
    await reader.stop()


async def test_the_pause_grows() -> None:
    assert list(BACKOFF_S) == sorted(BACKOFF_S)
    assert BACKOFF_S[0] > 0


@pytest.mark.parametrize("body", [b"{", b"{}", b'"text"', b"\xff"])
async def test_a_body_that_cannot_be_read_is_a_dead_letter_at_once(bus: Bus, body: bytes) -> None:
    seen = Seen()
    reader = await started(bus, seen)
    await bus.publish_raw("voice.v1.session.tick.session_1", body, headers={"Nats-Msg-Id": "1"})
    await bus.publish(tick())

    await until(lambda: settled(bus))

    (letter,) = await dead(bus)
    assert (letter.data, letter.headers["dead-deliveries"]) == (body, "1")
    assert "cannot be read" in letter.headers["dead-reason"]
    assert seen.seqs == [2]
    await reader.stop()


async def test_what_the_handler_rejects_is_a_dead_letter_at_once(bus: Bus) -> None:
    seen = Seen(Rejected("no such account"))
    reader = await started(bus, seen)
    await bus.publish(tick())

    await until(lambda: settled(bus))

    (letter,) = await dead(bus)
    assert (len(seen.events), letter.headers["dead-reason"]) == (1, "no such account")
    await reader.stop()


async def test_retry_later_keeps_the_sessions_order_and_never_becomes_a_dead_letter(bus: Bus) -> None:
    seen = Seen(*[RetryLater(0.05)] * 8)
    reader = await started(bus, seen, max_deliver=2)
    await bus.publish(tick(served_ms=1))
    await bus.publish(tick(served_ms=2))
    await bus.publish(tick("session_2"))

    await until(lambda: settled(bus))

    mine = [meta.seq for event, meta in seen.events if event.session_id == "session_1"]
    assert mine == sorted(mine)
    assert mine[-1] == 2
    assert {meta.deliveries for _, meta in seen.events} == {1}
    assert await dead(bus) == []
    await reader.stop()


async def test_a_handler_that_cannot_publish_is_called_again_and_it_counts_for_nothing(bus: Bus) -> None:
    seen = Seen(BusUnavailable("publishing", bus.url))
    reader = await started(bus, seen, max_deliver=1)
    await bus.publish(tick())

    await until(lambda: len(seen.events) == 2)
    await until(lambda: settled(bus))

    assert await dead(bus) == []
    await reader.stop()


async def test_retry_later_survives_its_own_ack_wait(bus: Bus) -> None:
    seen = Seen(*[RetryLater(0.5)] * 5)
    reader = await started(bus, seen, ack_wait_s=1)
    await bus.publish(tick())

    await until(lambda: len(seen.events) == 6)
    await until(lambda: settled(bus))

    assert {meta.deliveries for _, meta in seen.events} == {1}
    await reader.stop()


async def test_a_handler_slower_than_ack_wait_gets_its_message_once(bus: Bus) -> None:
    calls = 0

    async def slow(_event: Event, _meta: Stored) -> None:
        nonlocal calls
        calls += 1
        await asyncio.sleep(2.5)

    reader = await started(bus, slow, ack_wait_s=1)
    await bus.publish(tick(served_ms=1))
    await bus.publish(tick(served_ms=2))  # waits for the first one's lock

    await until(lambda: settled(bus))

    assert calls == 2
    await reader.stop()


async def test_a_handler_that_hangs_is_given_up(bus: Bus) -> None:
    async def hang(_event: Event, _meta: Stored) -> None:
        await asyncio.Event().wait()

    reader = await started(bus, hang, max_deliver=1, handler_timeout_s=0.2)
    await bus.publish(tick())

    await until(lambda: settled(bus))

    (letter,) = await dead(bus)
    assert letter.headers["dead-reason"].startswith("TimeoutError")
    await reader.stop()


async def test_a_message_that_killed_its_process_each_time_is_a_dead_letter_unhandled(bus: Bus) -> None:
    seen = Seen()
    made = consumer(bus, "reader", TICKS, seen, max_deliver=2, ack_wait_s=1)
    await bus.publish(tick())
    await made.start()
    await made.stop()
    await bus.js.delete_consumer("SESSIONS", "reader")
    config = ConsumerConfig(name="reader", durable_name="reader", filter_subjects=TICKS, ack_wait=1)
    await bus.js.add_consumer("SESSIONS", config)
    dying = await bus.js.pull_subscribe_bind("reader", "SESSIONS")
    for _ in range(2):  # fetched, and then the process is gone
        await dying.fetch(1, timeout=3)
        await asyncio.sleep(1.1)
    seen.events.clear()

    reader = await started(bus, seen, max_deliver=2, ack_wait_s=1)
    await until(lambda: settled(bus))

    (letter,) = await dead(bus)
    assert seen.events == []
    assert "given up after 2 deliveries" in letter.headers["dead-reason"]
    await reader.stop()


async def test_the_stream_of_the_dead_is_made_again_for_the_next_letter(bus: Bus) -> None:
    await bus.js.delete_stream("DEAD")
    seen = Seen(Rejected("no"))
    reader = await started(bus, seen)
    await bus.publish(tick())
    await until(lambda: len(seen.events) == 1)
    await until(lambda: settled(bus), 20)

    assert len(await dead(bus)) == 1
    await reader.stop()


async def test_it_is_not_deaf_after_a_kill_9_and_restart(bus: Bus, nats_server: NatsServer) -> None:
    seen = Seen()
    reader = await started(bus, seen)
    await bus.publish(tick(served_ms=1))
    await until(lambda: len(seen.events) == 1)

    nats_server.kill9()
    await asyncio.sleep(1)
    nats_server.start()
    await bus.publish(tick(served_ms=2))

    await until(lambda: bool(seen.seqs) and seen.seqs[-1] == 2)
    assert await bus.checks["consumer reader"]() is None
    await reader.stop()


async def test_it_is_not_deaf_after_its_consumer_was_deleted(bus: Bus) -> None:
    seen = Seen()
    reader = await started(bus, seen)
    await bus.publish(tick(served_ms=1))
    await until(lambda: len(seen.events) == 1)

    await bus.js.delete_consumer("SESSIONS", "reader")
    await bus.publish(tick(served_ms=2))

    await until(lambda: 2 in seen.seqs)  # it reads from the first again: handlers are idempotent
    await reader.stop()


async def test_it_is_not_deaf_after_its_stream_was_deleted(bus: Bus) -> None:
    seen = Seen()
    reader = await started(bus, seen)
    await bus.publish(tick(served_ms=1))
    await until(lambda: len(seen.events) == 1)

    await bus.js.delete_stream("SESSIONS")
    await bus.publish(tick(served_ms=2), deadline_s=10)

    await until(lambda: len(seen.events) == 2)
    await reader.stop()


async def test_a_frozen_server_is_noticed_and_then_it_recovers(bus: Bus, nats_server: NatsServer) -> None:
    seen = Seen()
    reader = await started(bus, seen)
    nats_server.freeze()
    try:
        await until(lambda: not bus.is_connected, 25)  # three pings
    finally:
        nats_server.thaw()
    await bus.publish(tick(), deadline_s=15)

    await until(lambda: len(seen.events) >= 1)
    assert {await check() for check in bus.checks.values()} == {None}
    await reader.stop()


async def test_a_closed_connection_does_not_freeze_the_loop(bus: Bus) -> None:
    reader = await started(bus, Seen())
    await bus.nc.close()
    assert bus.closed.is_set()

    cpu = time.process_time()
    turns = 0
    end = time.monotonic() + 1
    while time.monotonic() < end:
        await asyncio.sleep(0.02)
        turns += 1

    assert turns > 20
    assert time.process_time() - cpu < 0.5
    await reader.stop()


async def test_a_vanished_consumer_costs_no_cpu(bus: Bus, nats_server: NatsServer) -> None:
    reader = await started(bus, Seen())
    nats_server.kill9()
    await asyncio.sleep(0.5)

    cpu = time.process_time()
    await asyncio.sleep(1)

    assert time.process_time() - cpu < 0.5
    nats_server.start()
    await reader.stop()


async def test_a_stop_lets_handlers_finish_and_acknowledges(bus: Bus) -> None:
    done = 0

    async def slow(_event: Event, _meta: Stored) -> None:
        nonlocal done
        await asyncio.sleep(0.5)
        done += 1

    reader = await started(bus, slow)
    for session in range(4):
        await bus.publish(tick(f"session_{session}"))
    await asyncio.sleep(0.2)

    await reader.stop()

    assert done == 4
    await until(lambda: settled(bus), 1)  # well within ack_wait: it is our acknowledgement


async def test_a_stop_hands_back_what_waits_to_be_retried(bus: Bus, nats_url: str) -> None:
    seen = Seen(*[RetryLater(60)] * 2)
    reader = await started(bus, seen)
    await bus.publish(tick())
    await until(lambda: len(seen.events) == 1)
    before = time.monotonic()
    await reader.stop()
    assert time.monotonic() - before < 2

    other = await Bus.connect(nats_url, name="other")
    second = Seen()
    again = await started(other, second)
    await until(lambda: len(second.events) == 1, 5)
    await again.stop()
    await other.close()


async def test_replicas_share_the_messages(bus: Bus, nats_url: str) -> None:
    other = await Bus.connect(nats_url, name="test")
    one, two = Seen(), Seen()
    readers = [await started(bus, one), await started(other, two)]
    for n in range(40):
        await bus.publish(tick(f"session_{n}"))

    await until(lambda: settled(bus))

    assert sorted(one.seqs + two.seqs) == list(range(1, 41))
    assert one.seqs
    assert two.seqs
    for reader in readers:
        await reader.stop()
    await other.close()
