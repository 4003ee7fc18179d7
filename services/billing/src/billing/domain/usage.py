"""Usage: one session's log, cut at its `ended`, as metering wants it."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from contracts.events import (
    AgentReady,
    AgentStopped,
    JobAssigned,
    ServedTick,
    SessionEnded,
    SessionRequested,
    SessionStarted,
)
from contracts.metering import LogRecord

METERED = (JobAssigned, AgentReady, SessionStarted, ServedTick, AgentStopped)
"""The events that can change a bill."""


@dataclass(frozen=True)
class LoggedEvent(LogRecord):
    """One event of the log with its place in it.

    Attributes:
        seq: Its sequence in the stream.
        trace: Its W3C trace context.
    """

    seq: int
    trace: Mapping[str, str] = field(default_factory=dict[str, str], compare=False, repr=False)


@dataclass(frozen=True)
class Usage:
    """What a session's bill is made from, in the stream's order, each record once.

    Attributes:
        ended: The session's end and the instant of its settlement.
        within: The events before the end.
        late: The events that were stored after the end.
        requested: The session's first event.
        requested_ms: When it was stored, Unix ms.
    """

    requested: SessionRequested
    requested_ms: int
    ended: SessionEnded
    ended_seq: int
    ended_ms: int
    within: tuple[LoggedEvent, ...]
    late: tuple[LoggedEvent, ...]

    @property
    def sha256(self) -> str:
        """Names exactly what was metered: anybody with the log can compute it again.

        Over one line of JSON for each event before the end: [sequence, stored ms, event, epoch, served ms or null],
        behind it the fault ms or the granted minutes where there are any, and the age ms of a restored `assigned`.
        """
        return hashlib.sha256("\n".join(map(_line, self.within)).encode()).hexdigest()


class NotEnded(Exception):
    """The session's log has no `ended` yet."""

    def __init__(self, session_id: str) -> None:
        super().__init__(f"{session_id} has not ended")
        self.session_id = session_id


class IncompleteLog(Exception):
    """The log has lost its beginning, so a bill made from it would be wrong."""

    def __init__(self, session_id: str) -> None:
        super().__init__(f"the log of {session_id} has no `requested`: its oldest messages are gone")
        self.session_id = session_id


def usage(session_id: str, records: Iterable[LoggedEvent]) -> Usage:
    """Cut a session's log at its end.

    The stream drops its oldest messages first and `requested` is a session's first, so a log that has it is whole.

    Args:
        session_id: Whose log it is; records of other sessions are no business of this bill.
        records: In any order and however often; a record is known by its sequence.

    Raises:
        NotEnded: There is no `ended` yet.
        IncompleteLog: There is an `ended`, and no `requested`.
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
    )


def _line(record: LoggedEvent) -> str:
    event = record.event
    epoch = event.epoch if isinstance(event, METERED) else None
    line = [record.seq, record.stored_ms, event.event, epoch, None]
    if isinstance(event, ServedTick | AgentStopped):
        # Without a fault the line is as it was before there was fault time, so that older bills keep their hashes.
        line[4:] = [event.served_ms, event.fault_ms] if event.fault_ms else [event.served_ms]
    elif isinstance(event, JobAssigned) and event.age_ms:
        line += [event.granted_minutes, event.age_ms]
    elif isinstance(event, JobAssigned) and event.granted_minutes is not None:
        line.append(event.granted_minutes)
    return json.dumps(line, separators=(",", ":"))
