"""Commands in: FastStream routers whose subscribers always answer (decision 0030)."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from functools import cache, partial
from inspect import unwrap
from typing import Any, Final, get_type_hints

import nats.errors
from faststream import BaseMiddleware, StreamMessage
from faststream.nats import NatsRoute, NatsRouter
from opentelemetry.trace import SpanKind
from pydantic import BaseModel, ValidationError

from chassis import logs, metrics, telemetry
from chassis.nats.jetstream.jetstream import JetStream
from contracts.commands import CommandFailed
from contracts.errors import Refused
from contracts.refusals import RefusalCode

_FLUSH_S: Final = 5
_MAX_FIELDS: Final = 5

_SECONDS: Final = metrics.histogram("bus_command_seconds", "Time to carry out a command", ("command", "outcome"))

log = logs.get_logger(__name__)

Next = Callable[[Any], Awaitable[Any]]


class _Middleware(BaseMiddleware[Any, Any]):
    @property
    def model(self) -> type[BaseModel]:
        """The class of the command: the type of the handler's first parameter."""
        return _first_type(self.context.get_local("handler_").calls[0].handler)


class Trace(_Middleware):
    """A server span per command, a child of the caller's. FastStream's own middleware makes consumer spans."""

    async def consume_scope(self, call_next: Next, msg: StreamMessage[Any]) -> Any:
        with telemetry.span(
            f"respond {self.model.__name__}",
            SpanKind.SERVER,
            parent=telemetry.extract(msg.headers),
            attributes={"messaging.system": "nats", "messaging.destination.name": msg.raw_message.subject},
        ):
            return await call_next(msg)


class Measure(_Middleware):
    """Observes `bus_command_seconds` by command and outcome. FastStream's own middleware has other metrics."""

    async def consume_scope(self, call_next: Next, msg: StreamMessage[Any]) -> Any:
        started = time.monotonic()
        answer = await call_next(msg)
        outcome = answer.code if isinstance(answer, CommandFailed) else "ok"
        _SECONDS.labels(self.model.__name__, outcome).observe(time.monotonic() - started)
        return answer


class Answer(_Middleware):
    """Answers every command: an invalid one, a refusal, a timeout and a bug become `CommandFailed`."""

    def __init__(self, msg: Any, /, *, context: Any, timeout_s: float) -> None:
        super().__init__(msg, context=context)
        self._timeout_s = timeout_s

    async def consume_scope(self, call_next: Next, msg: StreamMessage[Any]) -> Any:
        name = self.model.__name__
        # Here and not in FastStream's decoder, where an invalid command looks like a ValueError of the handler.
        try:
            command = self.model.model_validate_json(msg.body)
        except ValidationError as error:
            found = error.errors(include_input=False)[:_MAX_FIELDS]
            fields = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'body'}: {e['msg']}" for e in found)
            log.warning("command.invalid", command=name, problem=fields)
            return CommandFailed(code=RefusalCode.INVALID_COMMAND, detail=fields)

        async def decoded(_message: StreamMessage[Any]) -> BaseModel:
            return command

        msg.set_decoder(decoded)
        try:
            async with asyncio.timeout(self._timeout_s):
                return await call_next(msg)
        except Refused as refused:
            return CommandFailed(code=refused.problem.code, detail=refused.detail, retryable=refused.problem.retryable)
        except TimeoutError:
            log.error("command.timeout", command=name, timeout_s=self._timeout_s)
            return CommandFailed(code=RefusalCode.TIMEOUT, detail=f"not done in {self._timeout_s:g} s", retryable=True)
        except Exception:
            log.exception("command.bug", command=name)
            return CommandFailed(code=RefusalCode.INTERNAL, detail="the responder failed; see its log", retryable=True)

    async def publish_scope(self, call_next: Next, cmd: Any) -> Any:
        try:
            return await call_next(cmd)
        except nats.errors.Error as error:  # the caller's request times out, and the caller repeats it
            log.warning("command.reply_lost", command=self.model.__name__, error=error)


def command_router(handlers: Iterable[NatsRoute] = (), *, timeout_s: float = 30.0) -> NatsRouter:
    """A router for commands; `contracts.errors.Refused` in a handler becomes a `CommandFailed` with its code.

    Args:
        timeout_s: Limit for one command; then its answer is `CommandFailed` "timeout".
    """
    return NatsRouter(handlers=handlers, middlewares=(Trace, Measure, partial(Answer, timeout_s=timeout_s)))


class CommandHandlers:
    """A service's routers on its connection, to be started and stopped."""

    def __init__(self, bus: JetStream, *routers: NatsRouter) -> None:
        self._bus = bus
        self._routers = routers
        bus.connection.broker.include_routers(*routers)

    async def start(self) -> None:
        """Subscribe; returns when the server knows the subscriptions."""
        for subscriber in self._subscribers:
            await subscriber.start()
        # nats-py writes a PING before the commands that wait for its flusher, so the first answer may come before the
        # server has read the subscriptions. By then the flusher has run; the second answer comes after them.
        await self._bus.nc.flush(_FLUSH_S)
        await self._bus.nc.flush(_FLUSH_S)

    async def stop(self) -> None:
        """Unsubscribe, after the commands in flight are answered."""
        for stopped in await asyncio.gather(*(s.stop() for s in self._subscribers), return_exceptions=True):
            if isinstance(stopped, nats.errors.Error):
                log.warning("handlers.stop_failed", error=stopped)
            elif stopped is not None:
                raise stopped

    @property
    def _subscribers(self) -> list[Any]:
        return [subscriber for router in self._routers for subscriber in router.subscribers]


@cache
def _first_type(handler: Any) -> type[BaseModel]:
    return next(iter(get_type_hints(unwrap(handler._original_call)).values()))
