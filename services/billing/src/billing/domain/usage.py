"""Usage: one session's log, cut at its `ended`, as metering needs it."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from contracts.events import (
    AgentReady,
    AgentStopped,
    JobAssigned,
    ServedTick,
    SessionBilled,
    SessionEnded,
    SessionRequested,
    SessionStarted,
    TimeLost,
)
from contracts.metering import LogRecord

METERED = (JobAssigned, AgentReady, SessionStarted, ServedTick, AgentStopped)
"""The events that can change a bill."""


@dataclass(frozen=True)
class Recorded(LogRecord):
    """One event with its place in the log.

    Attributes:
        seq: Its stream sequence.
        trace: Its W3C trace context.
    """

    seq: int
    trace: Mapping[str, str] = field(default_factory=dict[str, str], compare=False, repr=False)


@dataclass(frozen=True)
class Usage:
    """The evidence of a session's bill, in the stream's order, each event once.

    Attributes:
        within: The metered events before the end.
        late: The metered events after it.
        requested_ms: When `requested` was stored, Unix ms.
        billed: The bill that was announced, if any.
        lost_ms: Served time that no event proves, since NATS lost the log; it is not billed.
    """

    requested: SessionRequested
    requested_ms: int
    ended: SessionEnded
    ended_seq: int
    ended_ms: int
    within: tuple[Recorded, ...]
    late: tuple[Recorded, ...]
    billed: SessionBilled | None = None
    lost_ms: int = 0

    @property
    def sha256(self) -> str:
        """A hash that identifies the metered events; anyone with the log can compute it.

        It covers one line of JSON per event before the end: [sequence, stored ms, event, epoch, served ms or null],
        then the fault ms or the granted minutes if any, and the age ms of a restored `assigned`.
        """
        return hashlib.sha256("\n".join(map(_line, self.within)).encode()).hexdigest()


class NotEnded(Exception):
    """The session's log has no `ended` yet."""

    def __init__(self, session_id: str) -> None:
        super().__init__(f"{session_id} has not ended")
        self.session_id = session_id


class IncompleteLog(Exception):
    """The log has lost its beginning, so a bill from it would be wrong."""

    def __init__(self, session_id: str) -> None:
        super().__init__(f"the log of {session_id} has no `requested`: its oldest messages are gone")
        self.session_id = session_id


def usage(session_id: str, records: Iterable[Recorded]) -> Usage:
    """Cut a session's log at its end.

    The stream drops its oldest messages first, and a session begins with `requested`: a log that has it is complete.

    Args:
        records: In any order, with repetitions; records of other sessions are ignored.

    Raises:
        NotEnded: There is no `ended` yet.
        IncompleteLog: There is an `ended`, but no `requested`.
    """
    by_seq = {r.seq: r for r in records if r.event.session_id == session_id}
    log = [by_seq[seq] for seq in sorted(by_seq)]
    end = next((r for r in log if isinstance(r.event, SessionEnded)), None)
    if end is None or not isinstance(end.event, SessionEnded):
        raise NotEnded(session_id)
    first = next((r for r in log if isinstance(r.event, SessionRequested)), None)
    if first is None or not isinstance(first.event, SessionRequested):
        raise IncompleteLog(session_id)
    metered = [r for r in log if isinstance(r.event, METERED)]
    return Usage(
        requested=first.event,
        requested_ms=first.stored_ms,
        ended=end.event,
        ended_seq=end.seq,
        ended_ms=end.stored_ms,
        within=tuple(r for r in metered if r.seq < end.seq),
        late=tuple(r for r in metered if r.seq > end.seq),
        billed=next((r.event for r in log if isinstance(r.event, SessionBilled)), None),
        lost_ms=max((r.event.billable_ms for r in log if isinstance(r.event, TimeLost)), default=0),
    )


def _line(record: Recorded) -> str:
    event = record.event
    epoch = event.epoch if isinstance(event, METERED) else None
    line = [record.seq, record.stored_ms, event.event, epoch, None]
    if isinstance(event, ServedTick | AgentStopped):
        # Without a fault the line has its form from before fault time existed, so that older bills keep their hashes.
        line[4:] = [event.served_ms, event.fault_ms] if event.fault_ms else [event.served_ms]
    elif isinstance(event, JobAssigned) and event.age_ms:
        line += [event.granted_minutes, event.age_ms]
    elif isinstance(event, JobAssigned) and event.granted_minutes is not None:
        line.append(event.granted_minutes)
    return json.dumps(line, separators=(",", ":"))
