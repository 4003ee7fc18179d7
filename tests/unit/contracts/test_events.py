import json
from datetime import datetime

import pytest
from pydantic import ValidationError

from contracts.events import EVENTS, Event, ServedTick
from contracts.parsing import UnknownEvent, parse_event
from contracts.streams import BUCKETS, SESSIONS, STREAMS
from contracts.subjects import session_event, session_log
from tests.support.events import SESSION, tick


def test_an_event_is_read_back_as_it_was_written() -> None:
    event = tick(5_000)

    assert parse_event(event.subject, event.model_dump_json()) == event
    assert parse_event(event.subject, event.model_dump_json().encode()) == event


def test_a_field_of_a_newer_version_is_passed_over() -> None:
    event = tick(5_000)
    body = json.loads(event.model_dump_json()) | {"jitter_ms": 3}

    assert parse_event(event.subject, body) == event


@pytest.mark.parametrize(
    "subject",
    [
        "",
        "voice.v1.session.tick",
        "voice.v2.session.tick.s",
        "voice.v1.session.nonsense.s",
        "voice.v1.session.tick.s.x",
    ],
)
def test_a_subject_that_names_no_event_says_so(subject: str) -> None:
    with pytest.raises(UnknownEvent):
        parse_event(subject, b"{}")


def test_a_body_of_another_shape_is_refused() -> None:
    with pytest.raises(ValidationError):
        parse_event(session_event("tick", SESSION), b'{"served_ms": -1}')


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(ValidationError):
        ServedTick(session_id=SESSION, time=datetime(2026, 1, 1), epoch=1, served_ms=0)  # noqa: DTZ001


def test_an_event_cannot_be_changed() -> None:
    event = tick(5_000)

    with pytest.raises(ValidationError):
        event.served_ms = 0  # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.parametrize("cls", EVENTS, ids=lambda cls: cls.event)
def test_every_event_travels_on_the_stream_of_the_sessions(cls: type[Event]) -> None:
    subject = session_event(cls.event, SESSION)

    assert subject.startswith(SESSIONS.subjects[0].removesuffix(">"))
    assert subject.split(".")[-1] == session_log(SESSION).split(".")[-1]


def test_names_are_unique() -> None:
    assert len({cls.event for cls in EVENTS}) == len(EVENTS)
    assert len({spec.name for spec in (*STREAMS, *BUCKETS)}) == len(STREAMS) + len(BUCKETS)
