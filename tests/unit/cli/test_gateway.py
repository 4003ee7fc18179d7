"""The commands' client of the gateway: a start whose answer is lost, and an older gateway."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version

import pytest

from chassis.problem import problem_of
from contracts.api import HealthReply, StartReply, StartRequest
from contracts.errors import NOT_FOUND, UNKNOWN_SESSION, ProblemType, Refused
from greenroom_cli.errors import CommandError
from greenroom_cli.gateway import Gateway, GatewayRefused

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


@asynccontextmanager
async def gateway_without(
    problem: ProblemType | None, *, service: str = "gateway", release: str = "0.0.1"
) -> AsyncIterator[str]:
    """A service that answers 404 to all but /health, by this problem or with a page; its URL."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        path = (await reader.readuntil(b"\r\n\r\n")).split()[1]
        if path == b"/health":
            status, body = b"200 OK", HealthReply(service=service, version=release).model_dump_json().encode()
        else:
            status = b"404 Not Found"
            body = problem_of(Refused(problem, "d"), "r").model_dump_json().encode() if problem else b"<html>no</html>"
        writer.write(b"HTTP/1.1 %b\r\ncontent-length: %d\r\nconnection: close\r\n\r\n%b" % (status, len(body), body))
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


@pytest.mark.parametrize("problem", [NOT_FOUND, None])
async def test_a_gateway_without_a_route_is_named_with_its_version(problem: ProblemType | None) -> None:
    async with gateway_without(problem) as url, Gateway(url) as gateway:
        with pytest.raises(CommandError, match=r"is version 0\.0\.1 and has no /v1/nodes.*upgrade the gateway"):
            await gateway.nodes()
        with pytest.raises(CommandError, match=r"is version 0\.0\.1 and has no /v1/sessions/session_a/events"):
            await anext(gateway.events("session_a"))


@pytest.mark.parametrize(
    ("service", "release"), [("gateway", version("greenroom-cli")), ("billing", "0.0.1")], ids=["same", "another"]
)
async def test_only_a_gateway_of_another_version_is_to_be_upgraded(service: str, release: str) -> None:
    async with gateway_without(NOT_FOUND, service=service, release=release) as url, Gateway(url) as gateway:
        with pytest.raises(GatewayRefused, match=NOT_FOUND.code):
            await gateway.nodes()


async def test_a_session_that_is_unknown_says_nothing_of_versions() -> None:
    async with gateway_without(UNKNOWN_SESSION) as url, Gateway(url) as gateway:
        with pytest.raises(CommandError, match="No such session"):
            await gateway.session("session_a")


async def test_two_starts_have_two_keys() -> None:
    async with gateway_that_drops(0) as (url, keys), Gateway(url) as gateway:
        await gateway.start(StartRequest(user_name="Ann"))
        await gateway.start(StartRequest(user_name="Ann"))

    assert len(set(keys)) == 2
