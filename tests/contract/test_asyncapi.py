"""The AsyncAPI document: current, complete, and every reference leads somewhere."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from contracts import asyncapi, schemas
from contracts.catalogue import MESSAGES

FILE = Path(__file__).parents[2] / "docs/api/asyncapi.json"


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return asyncapi.document()


def references(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        for key, value in part.items():
            if key == "$ref":
                yield value
            else:
                yield from references(value)
    elif isinstance(part, list):
        for item in part:
            yield from references(item)


def test_the_published_document_is_current(document: dict[str, Any]) -> None:
    assert FILE.read_text(encoding="utf-8") == schemas.text(document), (
        "docs/api/asyncapi.json is behind; run: make docs"
    )


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    found = set(references(document))

    assert found
    for reference in found:
        target: Any = document
        for part in reference.removeprefix("#/").split("/"):
            assert part in target, reference
            target = target[part]


def test_every_message_has_a_channel_and_its_parameters_are_those_of_its_address(document: dict[str, Any]) -> None:
    carried = {name for channel in document["channels"].values() for name in channel["messages"]}

    assert carried == {m.name for m in MESSAGES} == document["components"]["messages"].keys()
    for channel in document["channels"].values():
        assert set(re.findall(r"{(\w+)}", channel["address"])) == channel.get("parameters", {}).keys()


def test_every_channel_has_an_operation_and_every_command_its_reply(document: dict[str, Any]) -> None:
    used = {operation["channel"]["$ref"].removeprefix("#/channels/") for operation in document["operations"].values()}

    assert used == document["channels"].keys()
    for message in MESSAGES:
        if message.kind == "request":
            operation = document["operations"][f"sends.{message.name.removesuffix('.request')}"]
            assert [m["$ref"].rsplit(".", 1)[1] for m in operation["reply"]["messages"]] == ["reply"]


def test_the_command_line_writes_the_document(tmp_path: Path, document: dict[str, Any]) -> None:
    assert asyncapi.main([str(tmp_path / "asyncapi.json")]) == 0
    assert json.loads((tmp_path / "asyncapi.json").read_text(encoding="utf-8")) == document
    assert asyncapi.main([]) == 2
