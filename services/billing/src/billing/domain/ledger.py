"""The ledger: what a session owes, as entries that are added and never changed.

Everything here follows from the log alone, times included, so that any duplication, reordering or replay of the
events gives the same ledger byte for byte.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Literal
from uuid import UUID, uuid5

from contracts.events import (
    AgentReady,
    AgentStopped,
    Event,
    JobAssigned,
    ServedTick,
    SessionBilled,
    SessionStarted,
)
from contracts.metering import EpochUsage, LogRecord, Metered, meter

from billing.domain.rating import NOTHING, Charge, Tariff, rate
from billing.domain.usage import LoggedEvent, Usage

# Any fixed UUID would do; changing it would settle every session a second time.
_ENTRIES = UUID("1d4f5f6e-6f0a-5a0d-8f0e-3f7f6a1b2c9d")

# The ledger's integers have 64 bits; an event's have no bound. Without this one forged event would leave a session
# without a bill.
_GREATEST: Final = 2**63 - 1


@dataclass(frozen=True)
class EpochShare:
    """What one epoch added to the settlement, and where the log says so.

    Attributes:
        served_ms: What it reported, as far as JetStream's clock allows.
        fault_ms: The part of its served time in which a provider failed, which is not billed.
        cut_ms: So much more did it report.
        span_ms: From its `assigned` to its successor's `agent_ready`, the cap; None without a successor.
        sequences: The stream sequences that decided: of `assigned`, `agent_ready`, the greatest served time and the
            greatest fault time.
    """

    epoch: int
    node_id: str | None
    served_ms: int
    span_ms: int | None
    billable_ms: int
    sequences: tuple[int, ...]
    fault_ms: int = 0
    cut_ms: int = 0


@dataclass(frozen=True)
class Entry:
    """One line of the ledger.

    Attributes:
        at_ms: When its cause was stored in the log, Unix ms.
        cause_seq: The stream sequence of that cause.
    """

    entry_id: UUID
    session_id: str
    user_id: str
    kind: Literal["usage", "adjustment"]
    charge: Charge
    at_ms: int
    cause_seq: int
    note: str


@dataclass(frozen=True)
class Settlement:
    """One session's bill as it stood at its end, with all that it was computed from.

    Attributes:
        settled_ms: When `ended` was stored in the log, Unix ms.
        granted_minutes: The session's grant, which bounds the charge; None: no bound.
        difference_ms: Our `billable_ms` minus the scheduler's in `ended`.
        ended_seq: The stream sequence of `ended`; later events are no part of this.
        records: How many events were metered.
        log_sha256: Their hash (`Usage.sha256`).
    """

    session_id: str
    user_id: str
    outcome: str
    reason: str
    charge: Charge
    tariff: Tariff
    settled_ms: int
    difference_ms: int
    ended_seq: int
    records: int
    log_sha256: str
    epochs: tuple[EpochShare, ...]
    granted_minutes: int | None = None

    @property
    def cut_ms(self) -> int:
        """What its epochs reported and JetStream's clock does not allow."""
        return sum(share.cut_ms for share in self.epochs)


@dataclass(frozen=True)
class Account:
    """A settled session: its settlement and every entry so far, in the order of their causes."""

    settlement: Settlement
    entries: tuple[Entry, ...]

    @property
    def owed(self) -> Charge:
        """The sum of the entries."""
        return sum((e.charge for e in self.entries), NOTHING)


def settle(usage: Usage, tariff: Tariff) -> Account:
    """Bill one session.

    One usage entry for the log up to `ended`; then one adjustment for each later event that changes the sum, so that
    the entries always add up to the price of the whole log.

    Args:
        usage: The session's log.
        tariff: Its price; of a session that is settled already, the tariff it was settled by.
    """
    # Its limit and its time, and the instant after which nothing is served.
    frame = LogRecord(usage.requested, usage.requested_ms), LogRecord(usage.ended, usage.ended_ms)
    metered = meter((*frame, *usage.within), tariff.rule)
    charged = rate(metered.billable_ms, tariff)
    session_id, user_id = usage.ended.session_id, usage.requested.user_id
    settlement = Settlement(
        session_id=session_id,
        user_id=user_id,
        outcome=usage.ended.outcome.value,
        reason=usage.ended.reason,
        charge=charged,
        tariff=tariff,
        settled_ms=usage.ended_ms,
        difference_ms=max(-_GREATEST, metered.billable_ms - usage.ended.billable_ms),
        ended_seq=usage.ended_seq,
        records=len(usage.within),
        log_sha256=usage.sha256,
        epochs=_shares(metered, usage.within),
        granted_minutes=None if metered.granted_minutes is None else min(metered.granted_minutes, _GREATEST),
    )
    entries = [
        Entry(
            entry_id=uuid5(_ENTRIES, f"{session_id}/usage"),
            session_id=session_id,
            user_id=user_id,
            kind="usage",
            charge=charged,
            at_ms=usage.ended_ms,
            cause_seq=usage.ended_seq,
            note=f"served until the end ({settlement.outcome})"
            f"{_left_out(sum(s.fault_ms for s in settlement.epochs))}{_cut(settlement)}{_beyond(settlement)}",
        )
    ]
    known = list(usage.within)
    for late in usage.late:
        known.append(late)
        now = rate(meter((*frame, *known), tariff.rule).billable_ms, tariff)
        if now != charged:
            entries.append(
                Entry(
                    entry_id=uuid5(_ENTRIES, f"{session_id}/adjustment/{late.seq}"),
                    session_id=session_id,
                    user_id=user_id,
                    kind="adjustment",
                    charge=now - charged,
                    at_ms=late.stored_ms,
                    cause_seq=late.seq,
                    note=f"{_cause(late.event)} was stored after the end",
                )
            )
            charged = now
    return Account(settlement, tuple(entries))


def billed(settlement: Settlement) -> SessionBilled:
    """The event that announces a settlement; the same bytes however often it is made."""
    return SessionBilled(
        session_id=settlement.session_id,
        time=instant(settlement.settled_ms),
        seconds=settlement.charge.seconds,
        minutes=settlement.charge.minutes,
        credits=settlement.charge.credits,
    )


def instant(unix_ms: int) -> datetime:
    """Unix ms as a time in UTC."""
    return datetime.fromtimestamp(unix_ms // 1000, UTC).replace(microsecond=unix_ms % 1000 * 1000)


def _cause(event: Event) -> str:
    match event:
        case ServedTick() | AgentStopped():
            return f"{event.event} of epoch {event.epoch} with {event.served_ms} ms served{_left_out(event.fault_ms)}"
        case JobAssigned() | AgentReady():
            return f"{event.event} of epoch {event.epoch}"
        case _:
            return event.event


def _left_out(fault_ms: int) -> str:
    return f", without {fault_ms} ms in which a provider failed" if fault_ms else ""


def _cut(settlement: Settlement) -> str:
    cut_ms = settlement.cut_ms
    return f", without {cut_ms} ms that were reported sooner than they can have been served" if cut_ms else ""


def _beyond(settlement: Settlement) -> str:
    beyond_ms = sum(s.billable_ms for s in settlement.epochs) - settlement.charge.billable_ms
    return f", without {beyond_ms} ms beyond its {settlement.granted_minutes} granted minutes" if beyond_ms else ""


def _shares(metered: Metered, records: tuple[LoggedEvent, ...]) -> tuple[EpochShare, ...]:
    has_started = any(isinstance(record.event, SessionStarted) for record in records)
    nodes: dict[int, str] = {}
    for record in records:
        if isinstance(record.event, JobAssigned):
            nodes.setdefault(record.event.epoch, record.event.node_id)
    return tuple(_share(epoch, nodes.get(epoch.epoch), has_started) for epoch in metered.epochs)


def _share(epoch: EpochUsage, node_id: str | None, has_started: bool) -> EpochShare:
    return EpochShare(
        epoch=epoch.epoch,
        node_id=node_id,
        served_ms=epoch.served_ms,
        span_ms=epoch.span_ms,
        billable_ms=epoch.billable_ms if has_started else 0,
        sequences=tuple(sorted({r.seq for r in epoch.deciding if isinstance(r, LoggedEvent)})),
        fault_ms=epoch.fault_ms,
        cut_ms=epoch.cut_ms,
    )
