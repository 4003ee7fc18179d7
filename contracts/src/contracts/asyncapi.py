"""`python -m contracts.asyncapi FILE` writes the AsyncAPI 3.0 document of every message on NATS.

Source: https://www.asyncapi.com/docs/reference/specification/v3.0.0
"""

import re
import sys
from pathlib import Path
from typing import Any, Final

from pydantic.json_schema import models_json_schema

from contracts import commands, schemas
from contracts.catalogue import HISTORY_READERS, MESSAGES, Message
from contracts.events import EVENTS

_REF: Final = "#/components/schemas/{model}"
_PARAMETERS: Final = {
    "session_id": "the session: session_<unix ms>_<random>",
    "event": "LiveKit's name for the webhook: room_finished, participant_left, ...",
    "node_id": "one agent-runner",
    "slot": "0 .. MAX_BOTS-1",
    "role": "the role that the lease grants: scheduler, projector",
    "request_key": "hash of a request's Idempotency-Key, route and API key",
    "queue": "name of the queue: starts",
}
_ACTS: Final = {"event": "publishes", "request": "sends", "value": "writes"}
_EVENT_HEADERS: Final = {
    "Nats-Msg-Id": "the event's deterministic id; JetStream drops a second message with the same id",
    "ce-specversion": "CloudEvents, binary mode",
    "ce-id": "the event's id",
    "ce-type": "the subject without the session",
    "ce-source": "the service that published the event",
    "ce-subject": "the session's id",
    "ce-time": "time of the event, RFC 3339",
    "traceparent": "W3C trace context",
}


def document() -> dict[str, Any]:
    """Build the document; equal contracts give equal documents."""
    shapes = _shapes()
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Greenroom",
            "version": "1",
            "description": "The events, commands and values that Greenroom's services exchange over NATS JetStream.",
            "license": {"name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
        },
        "defaultContentType": "application/json",
        "servers": {"nats": {"host": "127.0.0.1:4222", "protocol": "nats", "description": "NATS_URL"}},
        "channels": {_id(m): _channel(m) for m in MESSAGES if m.kind != "reply"},
        "operations": {f"{_ACTS[m.kind]}.{_id(m)}": _sending(m) for m in MESSAGES if m.kind != "reply"}
        | {f"receives.{_id(m)}": _receiving(m) for m in MESSAGES if m.consumers and m.kind != "reply"},
        "components": {
            "schemas": shapes,
            "messages": {m.name: _message(m) for m in MESSAGES},
            "messageTraits": {"event": {"headers": _headers()}},
        },
    }


def _id(message: Message) -> str:
    return message.name.removesuffix(".request")


def _channel(message: Message) -> dict[str, Any]:
    channel: dict[str, Any] = {
        "address": message.address,
        "messages": {m.name: {"$ref": f"#/components/messages/{m.name}"} for m in _with_reply(message)},
    }
    if message.shape in EVENTS:
        channel["description"] = f"{', '.join(HISTORY_READERS)} also read all events of one session at once"
    names = re.findall(r"{(\w+)}", message.address)
    if names:
        channel["parameters"] = {name: {"description": _PARAMETERS[name]} for name in names}
    return channel


def _sending(message: Message) -> dict[str, Any]:
    who = "any service" if message.sender == "any" else message.sender
    operation = _operation(message, "send", f"{who} {_ACTS[message.kind]} it", (message.sender,))
    replies = _with_reply(message)[1:]
    if replies:
        operation["reply"] = {
            "channel": operation["channel"],
            "messages": [{"$ref": f"#/channels/{_id(message)}/messages/{reply.name}"} for reply in replies],
        }
    return operation


def _receiving(message: Message) -> dict[str, Any]:
    act = "answers" if message.kind == "request" else "reads"
    return _operation(message, "receive", f"{', '.join(message.consumers)} {act} it", message.consumers)


def _operation(message: Message, action: str, summary: str, services: tuple[str, ...]) -> dict[str, Any]:
    return {
        "action": action,
        "channel": {"$ref": f"#/channels/{_id(message)}"},
        "summary": summary,
        "tags": [{"name": service} for service in services],
        "messages": [{"$ref": f"#/channels/{_id(message)}/messages/{message.name}"}],
    }


def _message(message: Message) -> dict[str, Any]:
    found: dict[str, Any] = {"name": message.name, "payload": _payload(message)}
    if message.kind == "event":
        found["traits"] = [{"$ref": "#/components/messageTraits/event"}]
    return found


def _payload(message: Message) -> dict[str, Any]:
    if message.kind != "reply":
        return {"$ref": _REF.format(model=message.shape.__name__)}
    accepted = next(name for name in _models(message) if name != commands.CommandFailed.__name__)
    return {"oneOf": [{"$ref": _REF.format(model=name)} for name in (accepted, commands.CommandFailed.__name__)]}


def _with_reply(message: Message) -> list[Message]:
    return [m for m in MESSAGES if m is message or (m.kind == "reply" and m.name == f"{_id(message)}.reply")]


def _models(message: Message) -> list[str]:
    defined: dict[str, Any] = schemas.schema(message).get("$defs", {})
    return sorted(name for name, found in defined.items() if found.get("type") == "object")


def _shapes() -> dict[str, Any]:
    replies = [command.reply for command in commands.COMMANDS]
    models = [*(m.shape for m in MESSAGES if m.kind != "reply"), *replies, commands.CommandFailed]
    _, found = models_json_schema([(model, "serialization") for model in models], ref_template=_REF)
    shapes: dict[str, Any] = found["$defs"]
    return shapes


def _headers() -> dict[str, Any]:
    properties = {name: {"type": "string", "description": meaning} for name, meaning in _EVENT_HEADERS.items()}
    return {"type": "object", "properties": properties, "required": ["Nats-Msg-Id"]}


def main(arguments: list[str]) -> int:
    """Write the document to the file named in `arguments`; returns the exit code."""
    if len(arguments) != 1:
        sys.stderr.write("usage: python -m contracts.asyncapi FILE\n")
        return 2
    Path(arguments[0]).write_text(schemas.text(document()), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
