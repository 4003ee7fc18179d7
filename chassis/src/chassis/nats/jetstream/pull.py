"""Pulling from an ephemeral consumer: one request for many messages stays open, and they come as they are stored.

nats-py's own `fetch` costs a request for each message that comes alone, and a task and a uuid for each message at all.
"""

import asyncio
import json
import time
from collections import deque
from typing import Final

import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.js import JetStreamContext
from nats.js.api import ConsumerConfig, ConsumerInfo

_BATCH: Final = 256
_EXPIRES_S: Final = 30.0
_HEARTBEAT_S: Final = 1.0
_SLICE_S: Final = 0.5
_DELETE_S: Final = 0.2
_DELETE_TRIES: Final = 4
_DELETE: Final = "$JS.API.CONSUMER.DELETE"
_NEXT: Final = "$JS.API.CONSUMER.MSG.NEXT"
_HEARTBEAT: Final = "100"
_REQUEST_OVER: Final = ("404", "408")
_LAST_DELIVERED: Final = "Nats-Last-Consumer"
_NS: Final = 1_000_000_000

SILENT_S: Final = 2.2 * _HEARTBEAT_S
"""Without a sign of the server for so long, the request is taken for lost."""


class Pull:
    """One consumer and the open request to it. `open` it, `take` from it, `close` it.

    Attributes:
        name: The consumer's; chosen here, so that it can be deleted even if the answer to its creation never came.
        is_gone: The server said that it has no such consumer.
    """

    def __init__(self, nc: Client, js: JetStreamContext, stream: str, config: ConsumerConfig, *, batch: int = _BATCH):
        self.name = nc._nuid.next().decode()  # pyright: ignore[reportPrivateUsage]
        self.is_gone = False
        self._nc = nc
        self._js = js
        self._stream = stream
        self._config = config.evolve(name=self.name)  # pyright: ignore[reportUnknownMemberType]
        self._batch = batch
        self._inbox = nc.new_inbox()
        self._sub: Subscription | None = None
        self._is_made = False
        self._messages: deque[Msg] = deque()
        self._news = asyncio.Event()
        self._due = 0  # messages that the request may still bring
        self._received = 0
        self._has_missed = False  # as a heartbeat says, the server has sent more than came
        self._reconnects = 0
        self._heard = 0.0

    async def open(self) -> ConsumerInfo:
        """Make the consumer and begin to pull.

        Raises:
            nats.errors.Error: NATS is away, or does not make it.
            TimeoutError: No answer.
        """
        self._sub = await self._nc.subscribe(  # pyright: ignore[reportUnknownMemberType]
            self._inbox, cb=self._on_message, pending_msgs_limit=2 * self._batch + 64
        )
        info = await self._js.add_consumer(self._stream, self._config)  # pyright: ignore[reportUnknownMemberType]
        self._is_made = True
        await self._request()
        return info

    async def take(self) -> list[Msg]:
        """What has come since the last call; waits for it.

        Returns nothing after `SILENT_S` without a sign of the server, and when something did not reach us.

        Raises:
            nats.errors.ConnectionClosedError: The connection is over for good.
            nats.errors.Error: The request could not be sent.
        """
        if not self._due and not self.is_gone:
            await self._request()
        while not self._messages and not self.is_gone:
            if self._nc.is_closed:
                raise nats.errors.ConnectionClosedError
            self._news.clear()
            if self._has_missed:
                self._has_missed = False
                return []
            try:
                async with asyncio.timeout(_SLICE_S):
                    await self._news.wait()
            except TimeoutError:
                if time.monotonic() - self._heard > SILENT_S or self._reconnects != self._nc.stats["reconnects"]:
                    self._due = 0  # the server forgets requests with a connection
                    return []
            if not self._due and not self._messages and not self.is_gone:
                await self._request()
        taken = list(self._messages)
        self._messages.clear()
        return taken

    async def info(self) -> ConsumerInfo:
        """What the server knows of the consumer."""
        return await self._js.consumer_info(self._stream, self.name)

    async def close(self) -> None:
        """Delete the consumer, which the server would otherwise keep for its inactive time."""
        sub, self._sub = self._sub, None
        if sub is None:
            return
        try:
            await sub.unsubscribe()
            if self._is_made:
                # Without waiting for the answer: what the server does not hear of, it drops after the inactive time.
                await self._nc.publish(self._delete)
            else:
                await self._delete_what_is_being_made()
        except nats.errors.Error:
            return

    @property
    def _delete(self) -> str:
        return f"{_DELETE}.{self._stream}.{self.name}"

    async def _delete_what_is_being_made(self) -> None:
        """Delete a consumer whose creation was not answered: the server may handle the two in the other order."""
        for _ in range(_DELETE_TRIES):
            try:
                answer = await self._nc.request(self._delete, timeout=_DELETE_S)
            except TimeoutError:
                return
            if json.loads(answer.data).get("success"):
                return
            await asyncio.sleep(_DELETE_S)

    async def _request(self) -> None:
        self._due = self._batch
        self._heard = time.monotonic()
        self._reconnects = self._nc.stats["reconnects"]
        ask = {
            "batch": self._batch,
            "expires": round(_EXPIRES_S * _NS),
            "idle_heartbeat": round(_HEARTBEAT_S * _NS),
        }
        await self._nc.publish(f"{_NEXT}.{self._stream}.{self.name}", json.dumps(ask).encode(), reply=self._inbox)

    async def _on_message(self, message: Msg) -> None:
        self._heard = time.monotonic()
        if message.reply:  # a stored message; the server's own words come without
            self._messages.append(message)
            self._received += 1
            self._due -= 1
        else:
            headers = message.headers or {}
            status = headers.get("Status")
            if status == _HEARTBEAT:
                self._has_missed = int(headers.get(_LAST_DELIVERED, 0)) > self._received
            elif status in _REQUEST_OVER:
                self._due = 0
            else:  # deleted, its leader moved, or nobody has it
                self.is_gone = True
        self._news.set()
