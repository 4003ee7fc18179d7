"""A session's log as a timeline: one entry for each step, from the request to the bill."""

from collections.abc import Sequence

from contracts.api_v1 import Entry, Timeline
from contracts.events import Event, TurnFinished
from gateway.domain.logged import LoggedEvent
from gateway.domain.read_model import fold_records
from gateway.domain.story import Story
from gateway.domain.turns import offset_ms, timing
from gateway.domain.waterfall import waterfall


class Entries:
    """Makes the entries of one session from its log, which may hold an event twice.

    Args:
        budget_ms: The latency budget of a turn.
        is_admin: Whether the reader may see nodes.
    """

    def __init__(self, budget_ms: int, *, is_admin: bool) -> None:
        self._is_admin = is_admin
        self._story = Story(budget_ms, shows_nodes=is_admin)
        self._seen: set[object] = set()

    def add(self, record: LoggedEvent) -> Entry | None:
        """The entry of the log's next event; None for a repeated or unreadable one, and for a kind without an entry."""
        event = record.event
        if event is None or event.id in self._seen:
            return None
        self._seen.add(event.id)
        told = self._story.tell(event)
        if told is None or self._story.requested_at is None:
            return None
        return Entry(
            seq=record.seq,
            kind=event.event,
            at=event.time,
            offset_ms=offset_ms(event.time, self._story.requested_at),
            epoch=_int(event, "epoch"),
            node_id=self._node_of(event),
            title=told.title,
            level=told.level,
            detail=dict(told.detail),
        )

    def _node_of(self, event: Event) -> str | None:
        epoch = _int(event, "epoch")
        return self._story.nodes.get(epoch) if self._is_admin and epoch is not None else None


def timeline(records: Sequence[LoggedEvent], budget_ms: int, *, is_admin: bool) -> Timeline | None:
    """The timeline of a session's whole log; None while it has no request."""
    state = fold_records(records)
    if state is None or state.requested is None:
        return None
    entries = Entries(budget_ms, is_admin=is_admin)
    made = [entry for record in records if (entry := entries.add(record)) is not None]
    since = state.requested.time
    turns = {
        (event.epoch, event.n): timing(event, since, budget_ms)
        for record in records
        if isinstance(event := record.event, TurnFinished) and event.n > 0
    }
    return Timeline(
        session_id=state.session_id,
        status=state.status,
        created_at=since,
        trace_id=state.trace_id or None,
        turn_budget_ms=budget_ms,
        start=waterfall(records),
        entries=made,
        turns=list(turns.values()),
        outcome=state.ended.outcome if state.ended else None,
        reason=state.ended.reason if state.ended else None,
    )


def _int(event: Event, name: str) -> int | None:
    value = getattr(event, name, None)
    return value if isinstance(value, int) and value > 0 else None
