"""The recorded messages must parse for ever, and lose nothing on the way."""

import json
import re
from operator import attrgetter
from typing import Any

import jsonschema
import pytest

from contracts import schemas
from contracts.catalogue import MESSAGES, Message
from contracts.parsing import parse_event
from contracts.room_events import RoomEvent
from contracts.subjects import ALL_SESSIONS


def example(message: Message) -> tuple[str, dict[str, Any]]:
    recorded = json.loads((schemas.EXAMPLES / f"{message.name}.json").read_text(encoding="utf-8"))
    return recorded["subject"], recorded["body"]


def keeps(recorded: Any, written: Any) -> bool:
    """Whether everything recorded is there; newer fields may be there too."""
    if isinstance(recorded, dict) and isinstance(written, dict):
        return all(name in written and keeps(value, written[name]) for name, value in recorded.items())
    if isinstance(recorded, list) and isinstance(written, list):
        return len(recorded) == len(written) and all(map(keeps, recorded, written))
    return recorded == written


@pytest.mark.parametrize("message", MESSAGES, ids=attrgetter("name"))
def test_a_recorded_message_parses_and_loses_no_field(message: Message) -> None:
    _, body = example(message)

    parsed = message.adapter.validate_json(json.dumps(body))
    written = json.loads(message.adapter.dump_json(parsed))

    assert keeps(body, written), f"a field of the recorded message is lost. {schemas.MAKE_A_V2}"


@pytest.mark.parametrize("message", MESSAGES, ids=attrgetter("name"))
def test_a_recorded_message_satisfies_its_published_schema(message: Message) -> None:
    schema = json.loads(schemas.path(message).read_text(encoding="utf-8"))

    jsonschema.Draft202012Validator(schema).validate(example(message)[1])


@pytest.mark.parametrize("message", MESSAGES, ids=attrgetter("name"))
def test_a_recorded_message_travelled_at_its_address(message: Message) -> None:
    pattern = re.sub(r"\\{\w+\\}", r"[^.]+", re.escape(message.address))

    assert re.fullmatch(pattern, example(message)[0])


@pytest.mark.parametrize("message", [m for m in MESSAGES if m.kind == "event"], ids=attrgetter("name"))
def test_a_recorded_event_is_found_by_its_subject_and_keeps_its_id(message: Message) -> None:
    subject, body = example(message)
    if subject.startswith(ALL_SESSIONS.removesuffix(">")):
        event = parse_event(subject, body)
    else:
        event = RoomEvent.model_validate(body)

    assert event.subject == subject
    assert str(event.id) == body["id"]


def test_there_is_one_recorded_message_of_each_kind_and_no_other() -> None:
    assert {file.stem for file in schemas.EXAMPLES.glob("*.json")} == {m.name for m in MESSAGES}
