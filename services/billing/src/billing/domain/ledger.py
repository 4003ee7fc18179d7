"""The ledger: what a session owes, as append-only entries.

Every value, times included, follows from the log alone, so any duplication, reordering or replay of the events gives
the same ledger byte for byte. Stored entries are compared with new ones: a changed note makes them conflict.
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final, Literal
from uuid import UUID, uuid5

from billing.domain.rating import NOTHING, Charge, Tariff, rate
from billing.domain.usage import Recorded, Usage
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

# An arbitrary UUID; a change would settle every session a second time.
_ENTRIES = UUID("1d4f5f6e-6f0a-5a0d-8f0e-3f7f6a1b2c9d")

# The ledger's integers have 64 bits, an event's have no limit: one forged event could leave a session without a bill.
_GREATEST: Final = 2**63 - 1


@dataclass(frozen=True)
class EpochShare:
    """One epoch's share of the settlement, and its evidence in the log.

    Attributes:
        served_ms: Reported served time, limited by JetStream's clock.
        fault_ms: The part of the served time in which a provider failed; it is not billed.
        cut_ms: Reported time beyond that limit.
        span_ms: From its `assigned` to its successor's `agent_ready`, the cap; None without a successor.
        sequences: Stream sequences of `assigned`, `agent_ready`, the greatest served time and the greatest fault time.
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
class SettledLog:
    """The part of the log that a settlement was computed from.

    Attributes:
        ended_seq: Stream sequence of `ended`; the settlement excludes later events.
        records: Number of metered events.
        sha256: Their hash (`Usage.sha256`).
    """

    ended_seq: int
    records: int
    sha256: str


@dataclass(frozen=True)
class Settlement:
    """One session's bill at its end, with its evidence.

    Attributes:
        settled_ms: When `ended` was stored in the log, Unix ms.
        granted_minutes: The session's grant, which limits the charge; None: no limit.
        difference_ms: Our `billable_ms` minus the scheduler's in `ended`.
    """

    session_id: str
    user_id: str
    outcome: str
    reason: str
    charge: Charge
    tariff: Tariff
    settled_ms: int
    difference_ms: int
    log: SettledLog
    epochs: tuple[EpochShare, ...]
    granted_minutes: int | None = None

    @property
    def cut_ms(self) -> int:
        """Reported time that JetStream's clock does not allow."""
        return sum(share.cut_ms for share in self.epochs)


@dataclass(frozen=True)
class Account:
    """A settled session: its settlement and its entries so far, in the order of their causes.

    Attributes:
        lost_ms: Served time that no event proves; it is not part of the ledger.
    """

    settlement: Settlement
    entries: tuple[Entry, ...]
    lost_ms: int = field(default=0, compare=False)

    @property
    def owed(self) -> Charge:
        """The sum of the entries."""
        return sum((e.charge for e in self.entries), NOTHING)


def tariff_then(usage: Usage, today: Tariff) -> Tariff:
    """The tariff of the time: that of the announced bill, if the log has one; otherwise today's.

    So a database that lost its rows gets the same bills again. A `billed` of an older version has neither price nor
    rule: the price is credits divided by minutes, and the rule is the newest one that yields its seconds.
    """
    billed = usage.billed
    if billed is None:
        return today
    price = billed.credits_per_minute
    if price is None:
        price = billed.credits // billed.minutes if billed.minutes else today.credits_per_minute
    if billed.rule is not None:
        return Tariff(price, billed.rule)
    rules = (today.rule, *range(today.rule - 1, 0, -1))
    return Tariff(price, next((rule for rule in rules if _metered(usage, rule).seconds == billed.seconds), today.rule))


def settle(usage: Usage, tariff: Tariff) -> Account:
    """Compute one session's account from its log.

    It has one usage entry for the log up to `ended` and one adjustment for each later event that changes the sum, so
    that the entries add up to the price of the whole log.

    Args:
        tariff: `tariff_then`; for a settled session the tariff of its settlement.
    """
    settlement = _settlement(usage, _metered(usage, tariff.rule), tariff)
    charged, entries, known = settlement.charge, [_usage_entry(settlement)], list(usage.within)
    for late in usage.late:
        known.append(late)
        now = rate(meter((*_frame(usage), *known), tariff.rule).billable_ms, tariff)
        if now != charged:
            entries.append(_adjustment(settlement, late, now - charged))
            charged = now
    return Account(settlement, tuple(entries), usage.lost_ms)


def _frame(usage: Usage) -> tuple[LogRecord, LogRecord]:
    """Metering needs `requested` for the session's limit, and `ended` since no time after it is billed."""
    return LogRecord(usage.requested, usage.requested_ms), LogRecord(usage.ended, usage.ended_ms)


def _metered(usage: Usage, rule: int) -> Metered:
    """The session's usage until its end."""
    return meter((*_frame(usage), *usage.within), rule)


def _settlement(usage: Usage, metered: Metered, tariff: Tariff) -> Settlement:
    return Settlement(
        session_id=usage.ended.session_id,
        user_id=usage.requested.user_id,
        outcome=usage.ended.outcome.value,
        reason=usage.ended.reason,
        charge=rate(metered.billable_ms, tariff),
        tariff=tariff,
        settled_ms=usage.ended_ms,
        difference_ms=max(-_GREATEST, metered.billable_ms - usage.ended.billable_ms),
        log=SettledLog(usage.ended_seq, len(usage.within), usage.sha256),
        epochs=_shares(metered, usage.within),
        granted_minutes=None if metered.granted_minutes is None else min(metered.granted_minutes, _GREATEST),
    )


def _usage_entry(settlement: Settlement) -> Entry:
    return Entry(
        entry_id=uuid5(_ENTRIES, f"{settlement.session_id}/usage"),
        session_id=settlement.session_id,
        user_id=settlement.user_id,
        kind="usage",
        charge=settlement.charge,
        at_ms=settlement.settled_ms,
        cause_seq=settlement.log.ended_seq,
        note=f"served until the end ({settlement.outcome})"
        f"{_left_out(sum(s.fault_ms for s in settlement.epochs))}{_cut(settlement)}{_beyond(settlement)}",
    )


def _adjustment(settlement: Settlement, late: Recorded, charge: Charge) -> Entry:
    return Entry(
        entry_id=uuid5(_ENTRIES, f"{settlement.session_id}/adjustment/{late.seq}"),
        session_id=settlement.session_id,
        user_id=settlement.user_id,
        kind="adjustment",
        charge=charge,
        at_ms=late.stored_ms,
        cause_seq=late.seq,
        note=f"{_cause(late.event)} was stored after the end",
    )


def billed(settlement: Settlement) -> SessionBilled:
    """The event that announces a settlement, with the same bytes each time."""
    return SessionBilled(
        session_id=settlement.session_id,
        time=instant(settlement.settled_ms),
        seconds=settlement.charge.seconds,
        minutes=settlement.charge.minutes,
        credits=settlement.charge.credits,
        credits_per_minute=settlement.tariff.credits_per_minute,
        rule=settlement.tariff.rule,
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


def _shares(metered: Metered, records: tuple[Recorded, ...]) -> tuple[EpochShare, ...]:
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
        sequences=tuple(sorted({r.seq for r in epoch.deciding if isinstance(r, Recorded)})),
        fault_ms=epoch.fault_ms,
        cut_ms=epoch.cut_ms,
    )
