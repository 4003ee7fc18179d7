"""The messages of the streams: JSON body, CloudEvents headers in binary mode, W3C trace context."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from pydantic import ValidationError

from contracts import subjects
from contracts.events import Event
from contracts.ids import SESSION_ID_PATTERN
from contracts.parsing import UnknownEvent, WrongSubject, parse_event
from contracts.room_events import RoomEvent
from contracts.streams import STREAMS

MSG_ID: Final = "Nats-Msg-Id"
EXPECT_LAST: Final = "Nats-Expected-Last-Subject-Sequence"
_SOURCE: Final = "ce-source"
_PARSED: Final = (f"{subjects.SESSION_PREFIX}.", f"{subjects.ROOM_PREFIX}.")
_NEWER: Final = re.compile(rf"{re.escape(subjects.SESSION_PREFIX)}\.[a-z_]{{1,64}}\.{SESSION_ID_PATTERN.strip('^$')}")
_BRIEF: Final = 500


@dataclass(frozen=True)
class Published:
    """JetStream's acknowledgement.

    Attributes:
        seq: The message's sequence in the stream.
        duplicate: The stream had it already.
    """

    seq: int
    duplicate: bool


@dataclass(frozen=True)
class Stored:
    """One message of a stream.

    Attributes:
        event: The body; None when this version cannot parse it, and for a message of another stream.
        seq: Sequence in the stream.
        stored_ms: When JetStream stored it, Unix ms; all parts share this clock.
        pending: How many messages the reader has not read yet; 0 when it has caught up.
        unreadable: Why the body cannot be parsed; empty for an event of a newer version.
    """

    subject: str
    event: Event | RoomEvent | None
    data: bytes
    seq: int
    stored_ms: int
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    pending: int = 0
    unreadable: str = ""

    @property
    def id(self) -> str | None:
        return self.headers.get(MSG_ID)


def parse(subject: str, data: bytes) -> Event | RoomEvent:
    """Parse a message of the streams SESSIONS or ROOMS.

    Raises:
        UnknownEvent: This version does not know the subject's event.
        pydantic.ValidationError: The body has another shape.
        WrongSubject: The body belongs to another session.
    """
    if not subject.startswith(f"{subjects.ROOM_PREFIX}."):
        return parse_event(subject, data)
    event = RoomEvent.model_validate_json(data)
    if event.subject != subject:
        raise WrongSubject(subject)
    return event


def stored(
    subject: str,
    data: bytes | None,
    *,
    seq: int,
    at: datetime,
    headers: Mapping[str, str] | None,
    pending: int = 0,
) -> Stored:
    """A `Stored`, with `event` None if the body cannot be parsed."""
    body = data or b""
    event, unreadable = None, ""
    try:
        if subject.startswith(_PARSED):
            event = parse(subject, body)
    except UnknownEvent as error:
        unreadable = "" if _is_newer(subject) else brief(error)
    except (ValidationError, WrongSubject) as error:
        unreadable = brief(error)
    return Stored(
        subject=subject,
        event=event,
        data=body,
        seq=seq,
        stored_ms=round(at.timestamp() * 1000),
        headers={str(name): str(value) for name, value in (headers or {}).items()},
        pending=pending,
        unreadable=unreadable,
    )


def brief(error: Exception) -> str:
    """Why a body cannot be parsed, without its values, which may be a caller's words."""
    if not isinstance(error, ValidationError):
        return str(error)[:_BRIEF]
    found = error.errors(include_input=False, include_url=False)[:5]
    return "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in found)[:_BRIEF]


def _is_newer(subject: str) -> bool:
    """Whether a later version may know the subject's event."""
    return _NEWER.fullmatch(subject) is not None


def headers_of(event: Event | RoomEvent, source: str) -> dict[str, str]:
    """The headers of an event: its id for deduplication, and CloudEvents 1.0 in binary mode.

    Source: https://github.com/cloudevents/spec/blob/main/cloudevents/bindings/nats-protocol-binding.md
    """
    family = subjects.ROOM_PREFIX if isinstance(event, RoomEvent) else subjects.SESSION_PREFIX
    return {
        MSG_ID: str(event.id),
        "content-type": "application/json",
        "ce-specversion": "1.0",
        "ce-id": str(event.id),
        "ce-type": f"{family}.{event.event}",
        _SOURCE: f"/{source}",
        "ce-subject": event.session_id,
        "ce-time": event.time.isoformat(),
    }


def stream_of(subject: str) -> str:
    """The name of the stream that keeps this subject.

    Raises:
        ValueError: No stream does.
    """
    for spec in STREAMS:
        if any(subject.startswith(kept.removesuffix(">")) for kept in spec.subjects):
            return spec.name
    raise ValueError(f"no stream keeps {subject!r}")


def ascii_header(text: str) -> str:
    """Text as a header value: NATS requires printable ASCII in one line."""
    return " ".join(text.split()).encode("ascii", "backslashreplace").decode()[:_BRIEF]
