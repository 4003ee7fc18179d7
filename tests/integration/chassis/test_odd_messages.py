"""Messages that our writers never make: each reader hands them on, or skips them, and logs that once."""

import asyncio
import socket
from urllib.parse import urlsplit

import pytest

from chassis.nats import Bus, Stored
from chassis.tasks import cancel
from contracts.events import ServedTick
from tests.integration.chassis.events import tick
from tests.support.waiting import until

SESSION = "session_1"
TICK = f"voice.v1.session.tick.{SESSION}"
HEADERS = [
    b"NATS/1.0\r\nStatus: 404\r\n\r\n",
    b"NATS/1.0 503 gone\r\n\r\n",
    b"NATS/1.0 \xff\xfe\r\n\r\n",
    b"NATS/1.0\r\n\xff: \xff\r\n\r\n",
]


def send(bus: Bus, subject: bytes, headers: bytes, body: bytes) -> None:
    """Publish as bytes on the wire, as no client library would."""
    address = urlsplit(bus.url)
    with socket.create_connection((address.hostname or "", address.port or 0), timeout=5) as wire:
        wire.recv(4096)
        wire.sendall(b'CONNECT {"verbose": false, "headers": true}\r\n')
        wire.sendall(b"HPUB %s %d %d\r\n%s%s\r\n" % (subject, len(headers), len(headers) + len(body), headers, body))
        wire.sendall(b"PING\r\n")
        assert b"PONG" in wire.recv(4096)


@pytest.mark.parametrize("headers", HEADERS)
async def test_a_stored_message_with_odd_headers_stops_no_reader(bus: Bus, headers: bytes) -> None:
    await bus.publish(tick(served_ms=1))
    send(bus, TICK.encode(), headers, tick(served_ms=2).model_dump_json().encode())
    await bus.publish(tick(served_ms=3))

    async with asyncio.timeout(10):
        replayed = [m async for m in bus.replay("voice.v1.session.>", until_caught_up=True)]
    history = await bus.history(SESSION)

    for found in (replayed, history):
        assert [m.event.served_ms for m in found if isinstance(m.event, ServedTick)] == [1, 2, 3]


async def test_a_subject_that_is_no_utf_8_ends_no_connection(bus: Bus) -> None:
    seen: list[int] = []

    async def read() -> None:
        async for stored in bus.replay("voice.v1.session.tick.*"):
            if isinstance(stored.event, ServedTick):
                seen.append(stored.event.served_ms)

    reader = asyncio.create_task(read())
    send(bus, b"voice.v1.session.tick.\xff\xfe", b"NATS/1.0\r\n\r\n", b"{}")
    await bus.publish(tick(served_ms=7))

    await until(lambda: seen == [7], 5)
    async with asyncio.timeout(10):
        replayed = [m async for m in bus.replay("voice.v1.session.>", until_caught_up=True)]
    assert [bool(m.unreadable) for m in replayed] == [True, False]
    await cancel(reader)


async def test_an_unreadable_record_is_one_dead_letter_whoever_meets_it(bus: Bus) -> None:
    body = b"\x00\xff" * 240_000  # longer than a dead letter with its headers may be
    await bus.nc.publish(TICK, body)
    await bus.publish(tick(served_ms=5))

    for _ in range(3):
        assert [m.event is None for m in await bus.history(SESSION)] == [True, False]
        [m async for m in bus.replay("voice.v1.session.>", until_caught_up=True)]

    async def letters() -> list[Stored]:
        return [m async for m in bus.replay("dead.>", until_caught_up=True)]

    async with asyncio.timeout(10):
        while not (found := await letters()):  # noqa: ASYNC110 - another process
            await asyncio.sleep(0.05)
    await asyncio.sleep(0.3)
    assert len(await letters()) == 1
    assert found[0].subject == "dead.unreadable.SESSIONS.1"
    assert body.startswith(found[0].data)
    assert (found[0].headers["dead-subject"], found[0].headers["dead-bytes"]) == (TICK, str(len(body)))


async def test_an_event_of_a_newer_version_is_read_over_without_an_alarm(bus: Bus) -> None:
    await bus.js.publish(f"voice.v1.session.sung.{SESSION}", b"{}")

    (found,) = await bus.history(SESSION)

    assert (found.event, found.unreadable) == (None, "")
