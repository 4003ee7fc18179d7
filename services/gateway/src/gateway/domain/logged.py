"""The events of the log, as the gateway reads them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from contracts.events import Event


@dataclass(frozen=True)
class LoggedEvent:
    """One event with its place in the log.

    Attributes:
        seq: Its stream sequence.
        event: None when this version cannot read it.
        stored_ms: When JetStream stored it, Unix ms; 0: unknown.
        trace_id: Of a `requested`: the trace of its POST; empty: unknown.
    """

    seq: int
    event: Event | None
    stored_ms: int = 0
    trace_id: str = ""


class FellBehind(Exception):
    """This reader of the log's tail lost messages: it read too slowly, or the log was created again."""


class TailReader(Protocol):
    """The tail of the log for one reader."""

    async def next(self) -> Sequence[LoggedEvent]:
        """What came since the last call, perhaps nothing; safe to cancel.

        Raises:
            FellBehind: Some events are lost to this reader.
        """
        ...
