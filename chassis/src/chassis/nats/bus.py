"""The bus of one service: one connection, and everything that is done over it."""

import asyncio
from collections.abc import Awaitable, Callable

from contracts.commands import Command, CommandFailed, Reply, Request
from contracts.streams import BucketSpec

from chassis.access import NatsAccess
from chassis.nats.connection.connection import Connection
from chassis.nats.errors import BusRefused
from chassis.nats.jetstream.jetstream import JetStream
from chassis.nats.kv.bucket import Bucket
from chassis.nats.messaging import commands

_CLOSE_MARGIN_S = 5.0


class Bus(JetStream):
    """One service's connection to NATS, with its streams, buckets and commands; made by `connect`."""

    @classmethod
    async def connect(
        cls,
        access: NatsAccess | str,
        *,
        name: str,
        deadline_s: float = 10.0,
        replicas: int = 1,
        graceful_timeout_s: float = 15.0,
    ) -> "Bus":
        """Connect; from then on it reconnects for ever.

        Args:
            access: Where it is, or only its URL: nats://[user:password@]host:port, several with commas between.
            replicas: Copies of each stream and bucket that `ensure` makes; 3 in a cluster.
            graceful_timeout_s: How long a stop waits for handlers.

        Raises:
            BusUnavailable: Nobody answered by the deadline.
            BusRefused: The server does not take our credentials, or what we were given to connect with is unusable.
        """
        if isinstance(access, str):
            try:
                access = NatsAccess.of(access)
            except ValueError as error:
                raise BusRefused(f"NATS_URL: {error}", "an unknown place", fix="Correct NATS_URL.") from error
        connection = Connection(access, name=name, graceful_timeout_s=graceful_timeout_s)
        await connection.open(deadline_s)
        return cls(connection, replicas=replicas)

    @property
    def is_connected(self) -> bool:
        """Whether a server is there now."""
        return self.connection.is_connected

    @property
    def closed(self) -> asyncio.Event:
        """Set once the connection is over for good; a process that still wants it must end."""
        return self.connection.closed

    def on_reconnect(self, callback: Callable[[], Awaitable[None]]) -> None:
        """Call this after each reconnect, such as to read back what was missed."""
        self.connection.on_reconnect(callback)

    async def close(self) -> None:
        """Stop what is still subscribed and disconnect; safe to repeat."""
        await super().close()
        await self.connection.close(self.connection.graceful_timeout_s + _CLOSE_MARGIN_S)

    async def reconnect_if_silent(self, answer_s: float) -> None:
        """Connect anew, to another server where there is one, if ours does not answer a ping within so many seconds."""
        await self.connection.reconnect_if_silent(answer_s)

    async def request(
        self, command: Command[Request, Reply], body: Request, *, timeout_s: float = 1.0
    ) -> Reply | CommandFailed:
        """Send a command and wait for its typed reply.

        Raises:
            NoResponder: Nobody listens; it was not carried out.
            CommandTimeout: No reply in time; it may have been carried out.
            BadReply: The reply has another shape.
            BusUnavailable: There is no connection.
        """
        return await commands.request(self.nc, command, body, timeout_s=timeout_s, url=self.url)

    def bucket(self, spec: BucketSpec) -> Bucket:
        """A key-value bucket that `ensure` has made."""
        return Bucket(self, spec)
