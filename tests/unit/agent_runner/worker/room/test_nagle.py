"""Nagle's algorithm is switched off on the one connection that foreign code makes, and on no other."""

import asyncio
import socket

from agent_runner.worker.room import nagle
from tests.support.waiting import until

PATIENCE_S = 2.0


def is_off(client: socket.socket) -> bool:
    return bool(client.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))


async def connected(server: socket.socket) -> socket.socket:
    """A connection as native code makes it: nothing is set on it."""
    return await asyncio.to_thread(socket.create_connection, server.getsockname(), PATIENCE_S)


async def test_it_goes_off_on_the_next_connection_to_the_address_and_stays_on_elsewhere() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_server(("127.0.0.1", 0)) as other,
        await connected(server) as before,
    ):
        async with nagle.off(f"ws://127.0.0.1:{server.getsockname()[1]}/rtc"):
            await asyncio.sleep(0.01)
            with await connected(other) as elsewhere, await connected(server) as client:
                await until(lambda: is_off(client), PATIENCE_S, every_s=0.001)
                assert not is_off(elsewhere)
                assert not is_off(before)


async def test_afterwards_nothing_is_looked_at_any_more() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        async with nagle.off(f"ws://127.0.0.1:{server.getsockname()[1]}"):
            pass
        with await connected(server) as late:
            await asyncio.sleep(0.02)
            assert not is_off(late)
