"""Connecting: errors name the cause, an outage is survived, and an end for good is noticed."""

import asyncio
import time

import pytest
from nats.aio import transport

from chassis.errors import StartFailed
from chassis.nats import Bus, BusRefused, BusUnavailable
from tests.support.servers import NatsServer, free_port
from tests.support.waiting import until


async def test_an_unreachable_server_is_named_without_its_password() -> None:
    port = free_port()
    started = time.monotonic()

    with pytest.raises(BusUnavailable) as caught:
        await Bus.connect(f"nats://bob:hunter2@127.0.0.1:{port}", name="test", deadline_s=0.5)

    assert time.monotonic() - started < 3
    assert f"nats://127.0.0.1:{port}" in str(caught.value)
    assert "NATS_URL" in caught.value.fix
    assert "hunter2" not in str(caught.value)


async def test_a_server_that_comes_up_late_is_found(nats_server: NatsServer) -> None:
    nats_server.kill9()
    connecting = asyncio.create_task(Bus.connect(nats_server.url, name="test", deadline_s=8))
    await asyncio.sleep(0.5)
    nats_server.start()

    bus = await connecting

    assert bus.is_connected
    await bus.close()


async def test_a_server_is_reached_over_websockets(nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "aiohttp", None)  # as nats-py is imported
    port = free_port()
    nats_server.configure(f"websocket {{ listen: '127.0.0.1:{port}', no_tls: true }}")
    nats_server.restart()

    bus = await Bus.connect(f"ws://127.0.0.1:{port}", name="test")

    assert bus.is_connected
    await bus.close()


async def test_a_wrong_password_is_refused_at_once(nats_server: NatsServer) -> None:
    nats_server.configure('authorization { user: bob, password: "right" }')
    nats_server.restart()

    with pytest.raises(BusRefused, match="user or password") as caught:
        await Bus.connect(nats_server.url.replace("//", "//bob:wrong@"), name="test")

    assert "wrong@" not in str(caught.value)


async def test_something_that_is_no_server_url_is_refused() -> None:
    with pytest.raises(StartFailed, match="not a server URL") as caught:
        await Bus.connect("nats://", name="test")

    assert caught.value.cause.startswith("NATS_URL: ")
    assert caught.value.fix == "Correct NATS_URL."


async def test_a_restart_is_survived_and_told(bus: Bus, nats_server: NatsServer) -> None:
    told = asyncio.Event()

    async def reconnected() -> None:
        told.set()

    bus.on_reconnect(reconnected)
    nats_server.kill9()
    await until(lambda: not bus.is_connected)
    assert await bus.checks["nats"]() is not None
    await asyncio.sleep(1)
    nats_server.start()

    async with asyncio.timeout(5):
        await told.wait()
    assert bus.is_connected
    assert await bus.checks["nats"]() is None
    assert not bus.closed.is_set()


async def test_a_callback_that_fails_at_the_reconnect_harms_nothing(bus: Bus, nats_server: NatsServer) -> None:
    async def bug() -> None:
        raise RuntimeError("bug")

    bus.on_reconnect(bug)
    nats_server.restart()

    await until(lambda: bus.is_connected)
    await bus.ensure()


async def test_a_rotated_password_ends_the_connection_for_good(nats_server: NatsServer) -> None:
    nats_server.configure('authorization { user: bob, password: "old" }')
    nats_server.restart()
    bus = await Bus.connect(nats_server.url.replace("//", "//bob:old@"), name="test")

    nats_server.configure('authorization { user: bob, password: "new" }')
    nats_server.reload()

    async with asyncio.timeout(15):
        await bus.closed.wait()
    assert not bus.is_connected
    await bus.close()


async def test_a_user_confined_to_its_inbox_can_read(nats_server: NatsServer) -> None:
    nats_server.configure(
        'authorization { users: [ { user: bob, password: "p", permissions: '
        '{ publish: [">"], subscribe: ["_INBOX_test.>"] } } ] }'
    )
    nats_server.restart()
    bus = await Bus.connect(nats_server.url.replace("//", "//bob:p@"), name="test")

    assert await bus.js.streams_info() == []
    await bus.close()
