"""What is published is a promise: the schemas on disk against the code."""

import json
from copy import deepcopy
from operator import attrgetter
from pathlib import Path
from typing import Any

import pytest

from contracts import schemas
from contracts.catalogue import MESSAGES, Message
from contracts.compatibility import breaking_changes
from contracts.events import EVENTS

TICK = next(m for m in MESSAGES if m.name == "voice.v1.session.tick")
ENDED = next(m for m in MESSAGES if m.name == "voice.v1.session.ended")


def published(message: Message) -> dict[str, Any]:
    return json.loads(schemas.path(message).read_text(encoding="utf-8"))


def test_the_code_keeps_every_promise_of_the_published_schemas() -> None:
    broken = schemas.broken_promises()

    assert not broken, "\n".join([*broken, schemas.MAKE_A_V2])


@pytest.mark.parametrize("message", MESSAGES, ids=attrgetter("name"))
def test_the_published_schemas_are_current(message: Message) -> None:
    assert schemas.path(message).exists(), f"{message.name} has no schema; run: make docs"
    assert published(message) == schemas.schema(message), f"{message.name}.json is behind; run: make docs"


@pytest.mark.parametrize("message", MESSAGES, ids=lambda m: m.name)
def test_a_recorded_message_tolerates_the_fields_of_a_newer_version(message: Message) -> None:
    """A client's request is another model: `contracts.api` and `Tool` forbid unknown fields."""
    assert '"additionalProperties": false' not in schemas.text(schemas.schema(message))


def test_every_event_is_in_the_catalogue() -> None:
    assert set(EVENTS) <= {m.shape for m in MESSAGES}
    assert len({m.name for m in MESSAGES}) == len(MESSAGES)


@pytest.mark.parametrize("message", MESSAGES, ids=attrgetter("name"))
def test_a_removed_or_renamed_field_fails(message: Message) -> None:
    for path, field in fields_of(schemas.schema(message)):
        changed = schemas.schema(message)
        at(changed, path)["renamed_" + field] = at(changed, path).pop(field)

        assert any(f"{field}: removed or renamed" in found for found in breaking_changes(published(message), changed))


def fields_of(schema: dict[str, Any]) -> list[tuple[tuple[str, ...], str]]:
    """Every field of a schema and of those that it refers to: where its object's properties are, and its name."""
    found = [(("properties",), name) for name in schema.get("properties", {})]
    for model, inner in schema.get("$defs", {}).items():
        found += [(("$defs", model, "properties"), name) for name in inner.get("properties", {})]
    return found


def at(schema: dict[str, Any], path: tuple[str, ...]) -> dict[str, Any]:
    for part in path:
        schema = schema[part]
    return schema


def test_an_optional_field_may_come() -> None:
    new = schemas.schema(TICK)
    new["properties"]["jitter_ms"] = {"type": "integer", "default": 0}

    assert breaking_changes(published(TICK), new) == []


def test_a_new_field_that_is_required_fails() -> None:
    new = schemas.schema(TICK)
    new["properties"]["jitter_ms"] = {"type": "integer"}
    new["required"].append("jitter_ms")

    assert breaking_changes(published(TICK), new) == ["jitter_ms: new and required, but old messages do not have it"]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"type": "number"}, "served_ms: 'integer' became 'number'"),
        ({"minimum": 1}, "served_ms: 0 became 1"),
        ({"maximum": 9}, "served_ms: maximum was None and is 9"),
        ({"default": 0}, "served_ms: default was None and is 0"),
    ],
)
def test_a_field_of_another_kind_fails(change: dict[str, Any], expected: str) -> None:
    new = schemas.schema(TICK)
    new["properties"]["served_ms"] |= change

    assert breaking_changes(published(TICK), new) == [expected]


def test_a_field_that_is_no_longer_required_fails_for_those_who_rely_on_it() -> None:
    new = schemas.schema(TICK)
    new["required"].remove("served_ms")

    assert breaking_changes(published(TICK), new) == ["served_ms: became optional"]


def test_a_new_outcome_fails_since_nobody_knows_it() -> None:
    new = deepcopy(schemas.schema(ENDED))
    new["$defs"]["Outcome"]["enum"].append("abandoned")

    assert len(breaking_changes(published(ENDED), new)) == 1


def test_other_words_and_another_class_name_are_no_change() -> None:
    new = json.loads(json.dumps(schemas.schema(ENDED)).replace("Outcome", "Ending"))
    new["title"] = new["description"] = "other words"
    new["properties"]["reason"]["description"] = "why"

    assert breaking_changes(published(ENDED), new) == []


def test_a_schema_that_would_break_a_promise_is_not_overwritten(tmp_path: Path) -> None:
    old = schemas.schema(TICK)
    old["properties"]["gone"] = {"type": "string"}
    schemas.path(TICK, tmp_path).write_text(schemas.text(old), encoding="utf-8")

    assert schemas.write(tmp_path) == ["voice.v1.session.tick: gone: removed or renamed"]
    assert [file.name for file in tmp_path.iterdir()] == ["voice.v1.session.tick.json"]
    assert json.loads(schemas.path(TICK, tmp_path).read_text(encoding="utf-8")) == old


def test_a_published_message_that_the_code_no_longer_has_is_a_broken_promise(tmp_path: Path) -> None:
    assert schemas.write(tmp_path) == []
    (tmp_path / "voice.v1.session.gone.json").write_text("{}", encoding="utf-8")

    assert schemas.write(tmp_path) == ["voice.v1.session.gone: published, but the code has no such message"]
