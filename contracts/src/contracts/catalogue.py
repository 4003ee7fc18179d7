"""The list of every message that crosses a boundary: name, address, shape and sender."""

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
    RoomEvent,
    ServedTick,
    SessionBilled,
    SessionEnded,
    SessionQueued,
    SessionRequested,
    SessionStarted,
    TurnFinished,
)


@dataclass(frozen=True)
class Message:
    """One kind of message.

    Attributes:
        name: File name of the schema and of the example, without `.json`.
        address: Subject, with parameters in braces.
        shape: Type that validates the body.
        kind: "value" is the value of a key in a bucket.
        sender: Service that sends the message; "any" when several do.
        receiver: Service that answers a request; "" for the other kinds.
    """

    name: str
    address: str
    shape: Any
    kind: Literal["event", "request", "reply", "value"]
    sender: str
    receiver: str = ""

    @property
    def adapter(self) -> TypeAdapter[Any]:
        return TypeAdapter(self.shape)


_PUBLISHERS: Final[dict[type[Event], str]] = {
    SessionRequested: "gateway",
    SessionQueued: "scheduler",
    JobAssigned: "scheduler",
    AgentReady: "agent-runner",
    SessionStarted: "agent-runner",
    AgentSpeaking: "agent-runner",
    TurnFinished: "agent-runner",
    ServedTick: "agent-runner",
    AgentStopped: "agent-runner",
    EndRequested: "gateway",
    SessionEnded: "scheduler",
    SessionBilled: "billing",
}


def _command(subject: str, request: type[Any], reply: Any, *, sender: str, receiver: str) -> tuple[Message, Message]:
    name = subject.replace("{node_id}.", "")
    return (
        Message(f"{name}.request", subject, request, "request", sender, receiver),
        Message(f"{name}.reply", subject, reply, "reply", receiver, sender),
    )


def _value(bucket: streams.BucketSpec, key: str, shape: type[Any], sender: str) -> Message:
    return Message(f"kv.{bucket.name}", f"$KV.{bucket.name}.{{{key}}}", shape, "value", sender)


def _to_node(command: str, request: type[Any], reply: Any, *, sender: str = "scheduler") -> tuple[Message, Message]:
    subject = subjects.node_command("{node_id}", command)
    return _command(subject, request, reply, sender=sender, receiver="agent-runner")


MESSAGES: Final[tuple[Message, ...]] = (
    *(
        Message(
            f"{subjects.SESSION_PREFIX}.{cls.event}",
            subjects.session_event(cls.event, "{session_id}"),
            cls,
            "event",
            _PUBLISHERS[cls],
        )
        for cls in EVENTS
    ),
    Message(subjects.ROOM_PREFIX, subjects.room_event("{event}", "{session_id}"), RoomEvent, "event", "gateway"),
    *_to_node("assign", commands.AssignJob, commands.AssignReply),
    *_to_node("end", commands.EndJob, commands.EndReply),
    *_to_node("prejoin", commands.PrejoinRoom, commands.PrejoinReply),
    *_to_node("describe", commands.DescribeJob, commands.DescribeReply),
    *_to_node("drain", commands.DrainNode, commands.DrainReply, sender="gateway"),
    *_command(
        subjects.BILLING_RESERVE,
        commands.ReserveCredit,
        commands.CreditReply,
        sender="gateway",
        receiver="billing",
    ),
    *_command(
        subjects.BILLING_GRANT,
        commands.GrantCredit,
        commands.CreditReply,
        sender="agent-runner",
        receiver="billing",
    ),
    _value(streams.NODES, "node_id", registry.NodeState, "agent-runner"),
    _value(streams.PREJOINED, "session_id", registry.PrejoinedRoom, "agent-runner"),
    _value(streams.SLOTS, "slot", registry.Slot, "scheduler"),
    _value(streams.LEADERS, "role", registry.Leader, "any"),
    _value(streams.QUEUE, "queue", registry.QueueState, "scheduler"),
    _value(streams.SEATS, "session_id", registry.Seat, "gateway"),
    _value(streams.IDEMPOTENCY, "request_key", registry.IdempotentStart, "gateway"),
    Message(
        f"kv.{streams.IDEMPOTENCY.name}.reply",
        f"$KV.{streams.IDEMPOTENCY.name}.{{request_key}}",
        registry.IdempotentReply,
        "value",
        "gateway",
    ),
)
