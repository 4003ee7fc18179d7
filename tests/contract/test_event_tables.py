"""The tables of events that people keep name every event."""

import re
from pathlib import Path

from agent_runner.domain.backlog import UNBILLED
from contracts.catalogue import MESSAGES
from contracts.events import EVENTS

ARCHITECTURE = Path(__file__).parents[2] / "docs/architecture.md"


def test_the_architecture_names_every_event_and_its_publisher() -> None:
    rows = re.findall(r"^\| `(\w+)` \| .+ \| ([\w-]+) \|$", ARCHITECTURE.read_text(encoding="utf-8"), re.MULTILINE)
    senders = {m.shape: m.sender for m in MESSAGES}

    assert sorted(rows) == sorted((cls.event, senders[cls]) for cls in EVENTS)


def test_a_node_holds_up_its_log_only_for_events_that_the_scheduler_or_billing_reads() -> None:
    of_node = {m.shape: m.consumers for m in MESSAGES if m.shape in EVENTS and m.sender == "agent-runner"}

    assert set(UNBILLED) == {cls for cls, readers in of_node.items() if not {"scheduler", "billing"} & set(readers)}
