"""Commands out: a request with a typed reply."""

from opentelemetry.trace import SpanKind
from pydantic import ValidationError

from chassis import telemetry
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
from contracts.commands import Command, CommandFailed, Reply, Request


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
        except (NoReply, NotPermitted) as error:
            raise CommandTimeout(subject, timeout_s) from error
        try:
            return command.answer.validate_json(answer.data)
        except ValidationError as error:
            raise BadReply(subject, f"the reply to {name} has another shape ({error.error_count()} fields)") from error
