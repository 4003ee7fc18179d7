"""The scheduler's records, sessions and nodes; a test names only what matters to it."""

from datetime import UTC, datetime
from typing import Any

from contracts.events import Event
from contracts.registry import NodeState
from scheduler.domain.session import Recorded, Session, fold
from tests.support.events import SESSION, T0


def at_ms(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)


def log(*events: tuple[int, Event] | Event) -> list[Recorded]:
    """Records in order; a tuple gives the ms after T0, else they come 10 ms apart."""
    records: list[Recorded] = []
    for n, entry in enumerate(events, start=1):
        ms, event = entry if isinstance(entry, tuple) else (10 * n, entry)
        records.append(Recorded(event, T0 + ms, n))
    return records


def session(*events: tuple[int, Event] | Event) -> Session:
    state = Session(SESSION)
    for record in log(*events):
        state = fold(state, record)
    return state


def node(node_id: str = "n1", **fields: Any) -> NodeState:
    """A node with four slots of which three are warm; `fields` overrides any field."""
    values: dict[str, Any] = {"slots": 4, "warm": 3, "busy": 0, "load": 0.1, "pid": 1, "processes": 1}
    return NodeState(node_id=node_id, started_at=at_ms(T0), **(values | fields))
