"""A version that does not know an event kind ignores it; shown for `tool`, the newest kind."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from chassis.nats.jetstream.messages import stored
from contracts import parsing
from contracts.events import ToolCalled
from contracts.parsing import UnknownEvent, parse_event
from gateway.domain.read_model import FOLDED

EXAMPLE = json.loads(
    (Path(__file__).parents[2] / "contracts/examples/voice.v1.session.tool.json").read_text(encoding="utf-8")
)


def test_a_reader_without_the_kind_takes_the_message_for_no_event_and_not_for_a_broken_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    body = json.dumps(EXAMPLE["body"]).encode()
    assert isinstance(parse_event(EXAMPLE["subject"], body), ToolCalled)
    known = {name: cls for name, cls in parsing._BY_NAME.items() if cls is not ToolCalled}
    monkeypatch.setattr(parsing, "_BY_NAME", known)
    with pytest.raises(UnknownEvent):
        parse_event(EXAMPLE["subject"], body)
    read = stored(EXAMPLE["subject"], body, seq=1, at=datetime.now(UTC), headers=None)
    assert read.event is None
    assert read.unreadable == "", "an unreadable message would be buried, and billing would stop at it"


def test_the_read_model_and_the_bill_take_nothing_from_it() -> None:
    assert ToolCalled not in FOLDED
