"""The commands' client of the gateway: a start whose answer is lost."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from contracts.api import StartReply, StartRequest
from greenroom_cli.errors import CommandError
from greenroom_cli.gateway import Gateway

REPLY = StartReply(session_id="session_a", token="t", server_url="ws://livekit", room_name="session_a")


@asynccontextmanager
async def gateway_that_drops(answers: int) -> AsyncIterator[tuple[str, list[str]]]:
    """A gateway that closes this many connections without an answer; its URL, and the keys that it was sent."""
    keys: list[str] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        keys.append(head.split("idempotency-key: ")[1].split("\r\n")[0])
        if len(keys) > answers:
            body = REPLY.model_dump_json(by_alias=True).encode()
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\nconnection: close\r\n\r\n%b" % (len(body), body))
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", keys


async def test_a_start_whose_answer_is_lost_is_repeated_with_its_key() -> None:
    async with gateway_that_drops(1) as (url, keys), Gateway(url) as gateway:
        reply = await gateway.start(StartRequest(user_name="Ann"))

    assert reply == REPLY
    assert len(keys) == 2
    assert len(set(keys)) == 1


async def test_a_start_is_repeated_once() -> None:
    async with gateway_that_drops(9) as (url, keys), Gateway(url) as gateway:
        with pytest.raises(CommandError, match="no gateway at"):
            await gateway.start(StartRequest(user_name="Ann"))

    assert len(keys) == 2


async def test_two_starts_have_two_keys() -> None:
    async with gateway_that_drops(0) as (url, keys), Gateway(url) as gateway:
        await gateway.start(StartRequest(user_name="Ann"))
        await gateway.start(StartRequest(user_name="Ann"))

    assert len(set(keys)) == 2
