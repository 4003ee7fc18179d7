"""Pulling from an ephemeral consumer: one open request for many messages, each sent when it is stored.

nats-py's own `fetch` costs one request for each message that comes alone, and a task and a uuid for every message.
"""

import asyncio
import json
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.js.api import ConsumerConfig, ConsumerInfo
from nats.nuid import NUID

from chassis.nats.connection.connection import Connection
from chassis.nats.errors import BusClosed, BusUnavailable

_BATCH: Final = 256
_EXPIRES_S: Final = 30.0
_HEARTBEAT_S: Final = 1.0
_SLICE_S: Final = 0.5
_DELETE_S: Final = 0.2
_DELETE_TRIES: Final = 4
_DELETE: Final = "$JS.API.CONSUMER.DELETE"
_NEXT: Final = "$JS.API.CONSUMER.MSG.NEXT"
_HEARTBEAT: Final = "100"
_REQUEST_ENDED: Final = ("404", "408")
_LAST_DELIVERED: Final = "Nats-Last-Consumer"
_NS: Final = 1_000_000_000

SILENT_S: Final = 2.2 * _HEARTBEAT_S
"""After so long without a sign of the server, the request counts as lost."""


@dataclass
class _Request:
    """The open request.

    Attributes:
        due: Messages that it may still bring.
        heard: When the server last answered it, on the monotonic clock.
        reconnects: The connection's reconnects when it was sent: the server forgets requests with a connection.
    """

    due: int = 0
    heard: float = 0.0
    reconnects: int = 0


class Pull:
    """One consumer and the open request to it: `open` it, `take` from it, `close` it.

    Its name is chosen here, so that it can be deleted even if the answer to its creation never came.

    Attributes:
        is_gone: The server said that it has no such consumer.
    """

    def __init__(self, connection: Connection, stream: str, config: ConsumerConfig) -> None:
        name = NUID().next().decode()
        self.is_gone = False
        self._connection = connection
        self._stream = stream
        self._config = config.evolve(name=name)  # pyright: ignore[reportUnknownMemberType]
        self._inbox = connection.nc.new_inbox()
        self._sub: Subscription | None = None
        self._is_made = False
        self._messages: deque[Msg] = deque()
        self._news = asyncio.Event()
        self._request = _Request()
        self._received = 0
        self._has_missed = False  # a heartbeat said that the server has sent more than was received

    async def open(self) -> ConsumerInfo:
        """Make the consumer and send the first request.

        Raises:
            BusUnavailable: No answer, or the server does not make it.
        """
        nc, js = self._connection.nc, self._connection.js
        async with self._connection.asking(f"reading {self._stream}"):
            self._sub = await nc.subscribe(  # pyright: ignore[reportUnknownMemberType]
                self._inbox, cb=self._on_message, pending_msgs_limit=2 * _BATCH + 64
            )
            info = await js.add_consumer(self._stream, self._config)  # pyright: ignore[reportUnknownMemberType]
            self._is_made = True
            await self._ask_for_more()
        return info

    async def take(self) -> list[Msg]:
        """Wait for messages, and return those that came since the last call.

        Returns none after `SILENT_S` without a sign of the server, and when a message was lost.

        Raises:
            BusClosed: The connection is closed for good.
            BusUnavailable: The request could not be sent.
        """
        await self._keep_asking()
        while not self._messages and not self.is_gone:
            if self._connection.nc.is_closed:
                raise BusClosed(f"reading {self._stream}", self._connection.url)
            self._news.clear()
            if self._has_missed:
                self._has_missed = False
                return []
            try:
                async with asyncio.timeout(_SLICE_S):
                    await self._news.wait()
            except TimeoutError:
                is_silent = time.monotonic() - self._request.heard > SILENT_S
                if is_silent or self._request.reconnects != self._reconnects:
                    self._request.due = 0
                    return []
            if not self._messages:
                await self._keep_asking()
        taken = list(self._messages)
        self._messages.clear()
        return taken

    async def info(self) -> ConsumerInfo:
        """The server's state of the consumer.

        Raises:
            NotFound: The server has no such consumer.
            BusUnavailable: No answer within 2 s.
        """
        asked = self._connection.js.consumer_info(self._stream, self._config.name or "")
        return await self._connection.ask(f"reading {self._stream}", asked)

    async def close(self) -> None:
        """Delete the consumer, which the server would otherwise keep for its inactive time."""
        sub, self._sub = self._sub, None
        if sub is None:
            return
        with suppress(BusUnavailable):
            async with self._connection.asking("deleting a consumer"):
                await sub.unsubscribe()
                if self._is_made:
                    # Without waiting for the answer: the server drops it after the inactive time at the latest.
                    await self._connection.nc.publish(self._subject(_DELETE))
                else:
                    await self._delete_unanswered()

    def _subject(self, verb: str) -> str:
        return f"{verb}.{self._stream}.{self._config.name}"

    @property
    def _reconnects(self) -> int:
        return self._connection.nc.stats["reconnects"]

    async def _delete_unanswered(self) -> None:
        """Delete a consumer whose creation was not answered: the server may handle the two in the other order."""
        for _ in range(_DELETE_TRIES):
            answer = await self._connection.nc.request(self._subject(_DELETE), timeout=_DELETE_S)
            if json.loads(answer.data).get("success"):
                return
            await asyncio.sleep(_DELETE_S)

    async def _keep_asking(self) -> None:
        if self._request.due or self.is_gone:
            return
        async with self._connection.asking(f"reading {self._stream}"):
            await self._ask_for_more()

    async def _ask_for_more(self) -> None:
        self._request = _Request(_BATCH, time.monotonic(), self._reconnects)
        ask = {
            "batch": _BATCH,
            "expires": round(_EXPIRES_S * _NS),
            "idle_heartbeat": round(_HEARTBEAT_S * _NS),
        }
        await self._connection.nc.publish(self._subject(_NEXT), json.dumps(ask).encode(), reply=self._inbox)

    async def _on_message(self, message: Msg) -> None:
        self._request.heard = time.monotonic()
        if message.reply:  # a stored message; the server's own words come without
            self._messages.append(message)
            self._received += 1
            self._request.due -= 1
        else:
            headers = message.headers or {}
            status = headers.get("Status")
            if status == _HEARTBEAT:
                self._has_missed = int(headers.get(_LAST_DELIVERED, 0)) > self._received
            elif status in _REQUEST_ENDED:
                self._request.due = 0
            else:  # deleted, its leader moved, or no server has it
                self.is_gone = True
        self._news.set()
