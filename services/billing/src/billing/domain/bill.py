"""An account as the API's bill."""

from billing.domain.ledger import Account, EpochShare, instant
from contracts.api import EpochBill, Evidence, LedgerEntryView, SessionBill


def view(account: Account) -> SessionBill:
    settlement, owed = account.settlement, account.owed
    return SessionBill(
        session_id=settlement.session_id,
        user_id=settlement.user_id,
        outcome=settlement.outcome,
        reason=settlement.reason,
        billable_ms=owed.billable_ms,
        seconds=owed.seconds,
        minutes=owed.minutes,
        credits=owed.credits,
        granted_minutes=settlement.granted_minutes,
        settled_at=instant(settlement.settled_ms),
        epochs=[_epoch(share) for share in settlement.epochs],
        entries=[
            LedgerEntryView(
                entry_id=str(entry.entry_id),
                kind=entry.kind,
                credits=entry.charge.credits,
                seconds=entry.charge.seconds,
                minutes=entry.charge.minutes,
                at=instant(entry.at_ms),
                note=entry.note,
                cause_seq=entry.cause_seq,
            )
            for entry in account.entries
        ],
        difference_ms=settlement.difference_ms,
        evidence=Evidence(
            ended_seq=settlement.log.ended_seq,
            records=settlement.log.records,
            log_sha256=settlement.log.sha256,
            credits_per_minute=settlement.tariff.credits_per_minute,
        ),
    )


def _epoch(share: EpochShare) -> EpochBill:
    return EpochBill(
        epoch=share.epoch,
        node_id=share.node_id,
        served_ms=share.served_ms,
        fault_ms=share.fault_ms,
        billable_ms=share.billable_ms,
        span_ms=share.span_ms,
        sequences=list(share.sequences),
    )
