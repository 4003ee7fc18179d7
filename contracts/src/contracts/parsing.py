"""From a message of the stream SESSIONS to its event, and the errors of that."""

from typing import Any

from contracts import subjects
from contracts.events import EVENTS, Event

_BY_NAME = {cls.event: cls for cls in EVENTS}


class UnknownEvent(Exception):
    """The subject names an event that this version does not know."""

    def __init__(self, subject: str) -> None:
        super().__init__(f"no event for subject {subject!r}")
        self.subject = subject


class WrongSubject(Exception):
    """A message's subject and body name different sessions or events."""

    def __init__(self, subject: str) -> None:
        super().__init__(f"the body belongs to another subject than {subject!r}")
        self.subject = subject


def parse_event(subject: str, data: bytes | str | dict[str, Any]) -> Event:
    """Read a message of the stream SESSIONS.

    Args:
        subject: `voice.v1.session.<event>.<session_id>`.
        data: Its JSON body.

    Raises:
        UnknownEvent: This version does not know the subject's event.
        pydantic.ValidationError: The body does not have the event's shape.
        WrongSubject: The body belongs to another session.
    """
    parts = subject.split(".")
    name = parts[3] if subject.startswith(f"{subjects.SESSION_PREFIX}.") and len(parts) == 5 else ""
    cls = _BY_NAME.get(name)
    if cls is None:
        raise UnknownEvent(subject)
    event = cls.model_validate(data) if isinstance(data, dict) else cls.model_validate_json(data)
    if event.subject != subject:
        raise WrongSubject(subject)
    return event
