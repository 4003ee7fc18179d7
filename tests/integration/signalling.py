"""A signalling connection to LiveKit and nothing else: it joins, answers no offer, sends and hears no media."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import aiohttp
from livekit.protocol.rtc import SignalResponse


@asynccontextmanager
async def signalling(url: str, token: str) -> AsyncGenerator[None]:
    """Hold the connection open; LiveKit drops one whose media does not come up after about 20 s.

    Args:
        url: ws or wss.
    """
    address = f"{url}/rtc?access_token={token}&auto_subscribe=1&protocol=15&sdk=python"
    async with aiohttp.ClientSession() as session, session.ws_connect(address) as connection:
        first = SignalResponse()
        first.ParseFromString(await connection.receive_bytes(timeout=10))
        assert first.WhichOneof("message") == "join"
        yield
