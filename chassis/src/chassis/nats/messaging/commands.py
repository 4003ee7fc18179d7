"""Commands: requests that always get a typed reply."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

import nats.errors
from contracts.commands import Command, CommandFailed, Reply, Request
from contracts.errors import Refused
from contracts.refusals import RefusalCode
from nats.aio.msg import Msg
from opentelemetry.trace import SpanKind
from pydantic import BaseModel, ValidationError

from chassis import logs, metrics, telemetry
from chassis.nats.connection.connection import Connection
from chassis.nats.errors import (
    BadReply,
    BusUnavailable,
    CommandTimeout,
    NoAnswer,
    NoResponder,
    NoSubscriber,
    NotPermitted,
)
from chassis.nats.jetstream.jetstream import JetStream

M = TypeVar("M", bound=BaseModel)

_PENDING: Final = 1024  # commands waiting for a worker; their callers have given up long before

_SECONDS: Final = metrics.histogram("bus_command_seconds", "Time to carry out a command", ("command", "outcome"))

log = logs.get_logger(__name__)


async def request(
    connection: Connection, command: Command[Request, Reply], body: Request, timeout_s: float
) -> Reply | CommandFailed:
    """Send a command and read its reply; see `Bus.request`."""
    subject, name = command.subject, command.request.__name__
    with telemetry.span(
        f"request {name}",
        SpanKind.CLIENT,
        attributes={"messaging.system": "nats", "messaging.destination.name": subject},
    ):
        headers = {"content-type": "application/json"} | telemetry.inject()
        nc = connection.nc
        if not nc.is_connected:
            raise BusUnavailable(f"requesting {name}", connection.url)
        sent = nc.request(subject, body.model_dump_json().encode(), timeout=timeout_s, headers=headers)
        try:
            answer = await connection.ask(f"requesting {name}", sent)
        except NoSubscriber as error:
            raise NoResponder(subject) from error
        except (NoAnswer, NotPermitted) as error:
            raise CommandTimeout(subject, timeout_s) from error
        try:
            return command.answer.validate_json(answer.data)
        except ValidationError as error:
            raise BadReply(subject, f"the reply to {name} has another shape ({error.error_count()} fields)") from error


class Responder:
    """Answers one command; made by `respond`, to be started and stopped."""

    def __init__(
        self,
        bus: JetStream,
        subject: str,
        model: type[M],
        handler: Callable[[M], Awaitable[BaseModel]],
        *,
        max_workers: int,
        queue: str,
        timeout_s: float,
    ) -> None:
        self._bus = bus
        self._model: type[Any] = model
        self._handler: Callable[[Any], Awaitable[BaseModel]] = handler
        self._timeout_s = timeout_s
        self._command = model.__name__
        self._subscriber = bus.connection.broker.subscriber(
            subject,
            queue,
            pending_msgs_limit=_PENDING,
            max_workers=max(2, max_workers),
            decoder=_undecoded,
            no_reply=True,  # the reply is sent here, also for a body that cannot be read
        )
        self._subscriber(self._receive)

    async def start(self) -> None:
        """Listen, and return once the server knows."""
        await self._subscriber.start()
        # nats-py writes a PING past the commands that wait for its flusher, so the answer to the first one may come
        # before the server has read the subscription. By then the flusher has run: the second comes after it.
        await self._bus.nc.flush(5)
        await self._bus.nc.flush(5)

    async def stop(self) -> None:
        """Take no more commands; those in hand are finished and answered."""
        try:
            await self._subscriber.stop()
        except nats.errors.Error as error:
            log.warning("responder.stop_failed", command=self._command, error=error)

    async def _receive(self, message: Any) -> None:
        raw: Msg = message.raw_message
        started = time.monotonic()
        with telemetry.span(
            f"respond {self._command}",
            SpanKind.SERVER,
            parent=telemetry.extract(raw.headers),
            attributes={"messaging.system": "nats", "messaging.destination.name": raw.subject},
        ):
            answer = await self._answer(raw.data)
            outcome = answer.code if isinstance(answer, CommandFailed) else "ok"
            _SECONDS.labels(self._command, outcome).observe(time.monotonic() - started)
            if not raw.reply:
                return
            try:
                await self._bus.nc.publish(
                    raw.reply, answer.model_dump_json().encode(), headers={"content-type": "application/json"}
                )
            except nats.errors.Error as error:  # the caller sees a timeout and repeats
                log.warning("responder.reply_lost", command=self._command, error=error)

    async def _answer(self, body: bytes) -> BaseModel:
        try:
            command = self._model.model_validate_json(body)
        except ValidationError as error:
            fields = "; ".join(
                f"{'.'.join(map(str, e['loc'])) or 'body'}: {e['msg']}" for e in error.errors(include_input=False)[:5]
            )
            log.warning("responder.bad_command", command=self._command, problem=fields)
            return CommandFailed(code=RefusalCode.INVALID_COMMAND, detail=fields)
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._handler(command)
        except Refused as refused:
            return CommandFailed(code=refused.problem.code, detail=refused.detail, retryable=refused.problem.retryable)
        except TimeoutError:
            log.error("responder.timeout", command=self._command, timeout_s=self._timeout_s)
            return CommandFailed(code=RefusalCode.TIMEOUT, detail=f"not done in {self._timeout_s:g} s", retryable=True)
        except Exception:
            log.exception("responder.bug", command=self._command)
            return CommandFailed(code=RefusalCode.INTERNAL, detail="the responder failed; see its log", retryable=True)


def respond(
    bus: JetStream,
    subject: str,
    model: type[M],
    handler: Callable[[M], Awaitable[BaseModel]],
    *,
    max_workers: int = 8,
    queue: str = "",
    timeout_s: float = 30.0,
) -> Responder:
    """Answer every command on `subject`, also a malformed one and one whose handler fails (`CommandFailed`).

    Args:
        handler: Returns the reply. `contracts.errors.Refused` becomes a `CommandFailed` with its code.
        max_workers: Commands in hand at once.
        queue: Replicas that share the commands name the same queue; "" gives each command to every listener.
        timeout_s: After so long the answer is `CommandFailed` "timeout".
    """
    return Responder(bus, subject, model, handler, max_workers=max_workers, queue=queue, timeout_s=timeout_s)


async def _undecoded(message: Any) -> Any:
    return message
