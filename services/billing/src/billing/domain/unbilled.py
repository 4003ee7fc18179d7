"""Which ended sessions still wait for their bill, by the log's own word."""

from dataclasses import dataclass, field

from contracts.events import Event, SessionBilled, SessionEnded


@dataclass
class Unbilled:
    """Follows `ended` and `billed`; holds no more than the sessions in between.

    Attributes:
        position: Stream sequence of the last event that was followed; 0 for none.
        waiting: Session id -> when its `ended` was stored, Unix ms.
    """

    position: int = 0
    waiting: dict[str, int] = field(default_factory=dict[str, int])

    def follow(self, event: Event, seq: int, stored_ms: int) -> None:
        """Take in one event; they come in the stream's order."""
        self.position = seq
        if isinstance(event, SessionEnded):
            self.waiting.setdefault(event.session_id, stored_ms)
        elif isinstance(event, SessionBilled):
            self.waiting.pop(event.session_id, None)

    def overdue(self, before_ms: int) -> list[str]:
        """The sessions that ended at or before that time and have no bill, the oldest first."""
        return sorted((s for s, at in self.waiting.items() if at <= before_ms), key=lambda s: (self.waiting[s], s))
