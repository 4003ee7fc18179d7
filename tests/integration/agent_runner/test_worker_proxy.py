"""An agent behind an HTTP proxy: the providers go through it, LiveKit only when NO_PROXY does not exempt it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from urllib.parse import urlsplit
from uuid import uuid4

import pytest

from contracts.ids import agent_identity
from tests.integration.agent_runner.direct_worker import event, start
from tests.integration.agent_runner.worker_stage import Sandbox, open_room
from tests.support.servers import LiveKitServer


class Proxy:
    """A small HTTP proxy on loopback: CONNECT, and requests with a whole URL; it refuses one port."""

    def __init__(self, refused_port: int) -> None:
        self.asked: list[str] = []
        self._refused_port = refused_port
        self._server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        assert self._server is not None
        return f"http://user:proxy-secret@127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def __aenter__(self) -> "Proxy":
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            head = await reader.readuntil(b"\r\n\r\n")
            method, target, rest = head.split(b" ", 2)
            parts = urlsplit(f"//{target.decode()}" if method == b"CONNECT" else target.decode())
            self.asked.append(f"{parts.hostname}:{parts.port}")
            if parts.port == self._refused_port:
                writer.write(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n")
                writer.close()
                return
            there_reader, there_writer = await asyncio.open_connection(parts.hostname, parts.port)
            if method == b"CONNECT":
                writer.write(b"HTTP/1.1 200 Connected\r\n\r\n")
            else:
                there_writer.write(b" ".join([method, parts.path.encode(), rest]))
            await asyncio.gather(_pump(reader, there_writer), _pump(there_reader, writer))


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.close()


@pytest.fixture
async def proxy(livekit: LiveKitServer) -> AsyncIterator[Proxy]:
    async with Proxy(refused_port=livekit.port) as running:
        yield running


async def agent_behind(
    proxy: Proxy, livekit: LiveKitServer, sandbox: Sandbox, **changes: str
) -> asyncio.subprocess.Process:
    session = f"session_{uuid4().hex}"
    await open_room(livekit, session)
    proxies = dict.fromkeys(("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy"), proxy.url)
    url, token = livekit.url.replace("127.0.0.1", "localhost"), livekit.token(session, agent_identity(session))
    arguments = ("--url", url, "--token", token, "--session-id", session)
    return await start(sandbox, *arguments, **proxies | {"no_proxy": "", "NO_PROXY": ""} | changes)


async def test_no_proxy_keeps_livekit_off_the_proxy_and_the_providers_on_it(
    proxy: Proxy, livekit: LiveKitServer, sandbox: Sandbox
) -> None:
    agent = await agent_behind(proxy, livekit, sandbox, NO_PROXY="elsewhere,localhost", no_proxy="elsewhere,localhost")
    try:
        await event(agent, "joined")
    finally:
        agent.terminate()
        await agent.communicate()

    assert f"localhost:{livekit.port}" not in proxy.asked
    assert sandbox.address in proxy.asked


async def test_a_proxy_that_refuses_livekit_is_named_and_its_password_is_not(
    proxy: Proxy, livekit: LiveKitServer, sandbox: Sandbox
) -> None:
    agent = await agent_behind(proxy, livekit, sandbox)

    async with asyncio.timeout(60):
        out, err = await agent.communicate()

    assert agent.returncode == 1
    last = err.decode().splitlines()[-1]
    assert "through the proxy of HTTP_PROXY" in last
    assert "NO_PROXY" in last
    assert "proxy-secret" not in (out + err).decode()
    assert f"localhost:{livekit.port}" in proxy.asked


async def test_a_socks_proxy_is_left_out_with_a_line(livekit: LiveKitServer, sandbox: Sandbox) -> None:
    session = f"session_{uuid4().hex}"
    await open_room(livekit, session)
    token = livekit.token(session, agent_identity(session))
    arguments = ("--url", livekit.url, "--token", token, "--session-id", session)
    agent = await start(sandbox, *arguments, ALL_PROXY="socks5://user:proxy-secret@127.0.0.1:1")
    try:
        await event(agent, "joined")
    finally:
        agent.terminate()
        _, err = await agent.communicate()

    assert "ALL_PROXY is ignored" in err.decode()
    assert "proxy-secret" not in err.decode()
