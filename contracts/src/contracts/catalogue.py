"""The list of every message that crosses a boundary: name, address, shape, sender and consumers."""

from dataclasses import dataclass
from typing import Any, Final, Literal

from pydantic import TypeAdapter

from contracts import commands, registry, streams, subjects
from contracts.events import (
    EVENTS,
    AgentReady,
    AgentSpeaking,
    AgentStopped,
    EndRequested,
    Event,
    JobAssigned,
    ProviderFault,
    ServedTick,
    SessionBilled,
    SessionEnded,
    SessionErased,
    SessionQueued,
    SessionRequested,
    SessionStarted,
    TimeLost,
    ToolCalled,
    TurnFinished,
)
from contracts.room_events import RoomEvent


@dataclass(frozen=True)
class Message:
    """One kind of message.

    Attributes:
        name: File name of the schema and of the example, without `.json`.
        address: Subject, with parameters in braces.
        shape: Type that validates the body.
        kind: "value" is the value of a key in a bucket.
        sender: Service that sends the message; "any" when several do.
        consumers: Services that follow it, read it by name, answer it, or use it when they read all events of one
            session (HISTORY_READERS).
    """

    name: str
    address: str
    shape: Any
    kind: Literal["event", "request", "reply", "value"]
    sender: str
    consumers: tuple[str, ...] = ()

    @property
    def adapter(self) -> TypeAdapter[Any]:
        return TypeAdapter(self.shape)


_EVENTS: Final[dict[type[Event], tuple[str, tuple[str, ...]]]] = {
    SessionRequested: ("gateway", ("gateway", "scheduler", "agent-runner", "billing")),
    SessionQueued: ("scheduler", ("gateway", "scheduler")),
    JobAssigned: ("scheduler", ("gateway", "scheduler", "agent-runner", "billing")),
    AgentReady: ("agent-runner", ("gateway", "scheduler", "billing")),
    SessionStarted: ("agent-runner", ("gateway", "scheduler", "billing")),
    AgentSpeaking: ("agent-runner", ("gateway",)),
    TurnFinished: ("agent-runner", ("gateway", "agent-runner")),
    ToolCalled: ("agent-runner", ("gateway", "agent-runner")),
    ProviderFault: ("agent-runner", ("gateway",)),
    ServedTick: ("agent-runner", ("gateway", "scheduler", "billing")),
    AgentStopped: ("agent-runner", ("gateway", "scheduler", "billing")),
    TimeLost: ("scheduler", ("gateway", "billing")),
    EndRequested: ("gateway", ("gateway", "scheduler")),
    SessionEnded: ("scheduler", ("gateway", "scheduler", "billing")),
    SessionBilled: ("billing", ("gateway", "billing")),
    SessionErased: ("gateway", ("gateway",)),
}
"""Event -> its publisher and its consumers."""

HISTORY_READERS: Final = ("gateway", "scheduler", "billing")
"""The services that also read all events of one session at once."""


def _event(cls: type[Event]) -> Message:
    name, address = f"{subjects.SESSION_PREFIX}.{cls.event}", subjects.session_event(cls.event, "{session_id}")
    sender, consumers = _EVENTS[cls]
    return Message(name, address, cls, "event", sender, consumers)


def _command(command: commands.Command[Any, Any]) -> tuple[Message, Message]:
    name = command.subject.replace("{node_id}.", "")
    answer = commands.answer_shape(command.reply)
    return (
        Message(f"{name}.request", command.subject, command.request, "request", command.sender, (command.receiver,)),
        Message(f"{name}.reply", command.subject, answer, "reply", command.receiver, (command.sender,)),
    )


def _value(bucket: streams.AnyBucket, key: str, sender: str, *consumers: str) -> Message:
    address = f"$KV.{bucket.name}.{{{key}}}"
    return Message(f"kv.{bucket.name}", address, bucket.shape, "value", sender, consumers)


MESSAGES: Final[tuple[Message, ...]] = (
    *map(_event, EVENTS),
    Message(
        subjects.ROOM_PREFIX,
        subjects.room_event("{event}", "{session_id}"),
        RoomEvent,
        "event",
        "gateway",
        ("scheduler",),
    ),
    *(message for command in commands.COMMANDS for message in _command(command)),
    _value(streams.NODES, "node_id", "agent-runner", "gateway", "scheduler", "agent-runner"),
    _value(streams.PREJOINED, "session_id", "agent-runner", "gateway", "scheduler", "agent-runner"),
    _value(streams.SLOTS, "slot", "scheduler", "gateway", "scheduler"),
    _value(streams.LEADERS, "role", "any", "gateway", "scheduler"),
    _value(streams.QUEUE, "queue", "scheduler", "gateway"),
    _value(streams.SEATS, "session_id", "gateway", "gateway"),
    _value(streams.KEYS, "session_id", "any", "gateway", "scheduler"),
    _value(streams.IDEMPOTENCY, "request_key", "gateway", "gateway"),
    Message(
        f"kv.{streams.IDEMPOTENCY.name}.reply",
        f"$KV.{streams.IDEMPOTENCY.name}.{{request_key}}",
        registry.IdempotentReply,
        "value",
        "gateway",
        ("gateway",),
    ),
)
