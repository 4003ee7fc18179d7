"""The bus of one service: its connection, streams, buckets and commands."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from opentelemetry.trace import SpanKind
from pydantic import ValidationError

from chassis import telemetry
from chassis.access import NatsAccess
from chassis.errors import StartFailed
from chassis.nats.connection.connection import Connection
from chassis.nats.errors import (
    BadReply,
    BusUnavailable,
    CommandTimeout,
    NoReply,
    NoResponder,
    NoSubscriber,
    NotPermitted,
)
from chassis.nats.jetstream.jetstream import JetStream
from chassis.nats.kv.bucket import Bucket
from contracts.commands import Command, CommandFailed, Reply, Request
from contracts.streams import BucketSpec, Value

_CLOSE_MARGIN_S = 5.0


class Bus(JetStream):
    """One service's access to NATS; made by `connect`."""

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
        """Connect. Afterwards the connection reconnects for ever.

        Args:
            access: Servers and credentials, or a URL nats://[user:password@]host:port; separate several with commas.
            replicas: Copies of each stream and bucket that `ensure` makes; 3 in a cluster.
            graceful_timeout_s: How long a stop waits for handlers.

        Raises:
            BusUnavailable: No server answered by the deadline.
            BusRefused: The server rejects the credentials.
            StartFailed: NATS_URL or a file of `access` is unusable.
        """
        if isinstance(access, str):
            try:
                access = NatsAccess.of(access)
            except ValueError as error:
                raise StartFailed(f"NATS_URL: {error}", "Correct NATS_URL.") from error
        connection = Connection(access, name=name, graceful_timeout_s=graceful_timeout_s)
        await connection.open(deadline_s)
        return cls(connection, replicas=replicas)

    @property
    def is_connected(self) -> bool:
        return self.connection.is_connected

    @property
    def closed(self) -> asyncio.Event:
        """Set when the connection has closed for good; a process that needs it must stop."""
        return self.connection.closed

    def on_reconnect(self, callback: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self.connection.on_reconnect(callback)

    async def close(self) -> None:
        """Stop the subscribers and disconnect; safe to repeat."""
        await super().close()
        await self.connection.close(self.connection.graceful_timeout_s + _CLOSE_MARGIN_S)

    async def reconnect_if_silent(self, answer_s: float) -> None:
        """Reconnect, to another server if there is one, unless this one answers a ping within `answer_s`."""
        await self.connection.reconnect_if_silent(answer_s)

    async def request(
        self, command: Command[Request, Reply], body: Request, *, timeout_s: float = 1.0
    ) -> Reply | CommandFailed:
        """Send a command and wait for its typed reply.

        Raises:
            NoResponder: No subscriber; it was not carried out.
            CommandTimeout: No reply in time; it may have been carried out.
            BadReply: The reply has another shape.
            BusUnavailable: Not connected.
        """
        name = command.request.__name__
        with telemetry.span(
            f"request {name}",
            SpanKind.CLIENT,
            attributes={"messaging.system": "nats", "messaging.destination.name": command.subject},
        ):
            if not self.is_connected:
                raise BusUnavailable(f"requesting {name}", self.url)
            headers = {"content-type": "application/json"} | telemetry.inject()
            sent = self.nc.request(command.subject, body.model_dump_json().encode(), timeout=timeout_s, headers=headers)
            try:
                answer = await self.connection.ask(f"requesting {name}", sent)
            except NoSubscriber as error:
                raise NoResponder(command.subject) from error
            except (NoReply, NotPermitted) as error:
                raise CommandTimeout(command.subject, timeout_s) from error
            try:
                return command.answer.validate_json(answer.data)
            except ValidationError as error:
                raise BadReply(
                    command.subject, f"the reply to {name} has another shape ({error.error_count()} fields)"
                ) from error

    def bucket(self, spec: BucketSpec[Value]) -> Bucket[Value]:
        """A key-value bucket that `ensure` has made."""
        return Bucket(self, spec)
