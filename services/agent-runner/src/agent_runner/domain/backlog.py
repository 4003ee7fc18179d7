"""The bounded queue of one job's events that wait for the bus."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from contracts.events import AgentSpeaking, Event, ProviderFault, ServedTick, ToolCalled, TurnFinished

UNBILLED: Final = (AgentSpeaking, TurnFinished, ToolCalled, ProviderFault)
"""Events that neither a bill nor the session's state needs: NATS may refuse them, and later ones are published."""
EVICTED: Final = (ServedTick, ProviderFault, TurnFinished, ToolCalled)
"""In this order, where the bound is reached; of the ticks all but the last."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """One event and the sequence that it expects to be the last on its subject; None: no expectation."""

    event: Event
    expect_last: int | None
    size: int


class Backlog:
    """First in, first out, within a bound of bytes.

    A tick repeats the ticks before it, so older ticks are evicted first; then the oldest turns, then the oldest calls
    of tools, which only a take-over needs. Events that the bill and the session's state depend on (ready, started,
    stopped, the last tick) always stay: a few hundred bytes a session.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._waiting: deque[Waiting] = deque()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def __iter__(self) -> Iterator[Waiting]:
        return iter(self._waiting)

    @property
    def size(self) -> int:
        return self._bytes

    def head(self) -> Waiting | None:
        """The next event to publish; it stays in the queue until `done`."""
        return self._waiting[0] if self._waiting else None

    def done(self, published: Waiting) -> None:
        """Remove an event that the log took or refused for good; no effect if it was evicted meanwhile."""
        if self._waiting and self._waiting[0] is published:
            self._bytes -= self._waiting.popleft().size

    def put(self, event: Event, expect_last: int | None = None) -> tuple[Event, ...]:
        """Add an event.

        Returns:
            The events that were evicted to stay within the bound.
        """
        waiting = Waiting(event, expect_last, len(event.model_dump_json()))
        self._waiting.append(waiting)
        self._bytes += waiting.size
        return self._shrink()

    def _shrink(self) -> tuple[Event, ...]:
        evicted: list[Event] = []
        for kind in EVICTED:
            if self._bytes <= self._max_bytes:
                break
            spare = [w for w in self._waiting if isinstance(w.event, kind)]
            if kind is ServedTick:
                spare = spare[:-1]
            for waiting in spare:
                if self._bytes <= self._max_bytes:
                    break
                self._waiting.remove(waiting)
                self._bytes -= waiting.size
                evicted.append(waiting.event)
        return tuple(evicted)
