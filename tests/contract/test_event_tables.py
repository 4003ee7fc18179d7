"""The tables of events that people keep name every event."""

import re
from pathlib import Path

import pytest

from contracts.catalogue import MESSAGES
from contracts.events import EVENTS, Event
from tests.integration.deploy.test_backplane import PUBLISH

ARCHITECTURE = Path(__file__).parents[2] / "docs/architecture.md"


def test_the_architecture_names_every_event_and_its_publisher() -> None:
    rows = re.findall(r"^\| `(\w+)` \| .+ \| ([\w-]+) \|$", ARCHITECTURE.read_text(encoding="utf-8"), re.MULTILINE)
    senders = {m.shape: m.sender for m in MESSAGES}

    assert sorted(rows) == sorted((cls.event, senders[cls]) for cls in EVENTS)


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.event)
def test_the_permissions_to_publish_an_event_are_tested(event: type[Event]) -> None:
    assert f"voice.v1.session.{event.event}.s1" in PUBLISH, "add it to tests/integration/deploy/test_backplane.py"
