"""Audit: whether a stored bill follows from its own evidence, and from the log."""

from billing.domain.ledger import Account, settle
from billing.domain.rating import NOTHING, rate
from billing.domain.usage import Usage
from contracts.metering import billable, within_grant


def findings(account: Account) -> list[str]:
    """Contradictions between a stored account and its own evidence."""
    settlement = account.settlement
    found: list[str] = []
    for share in settlement.epochs:
        most = billable(share.served_ms, share.span_ms, share.fault_ms)
        if share.billable_ms not in (0, most):  # 0: the session never started
            found.append(f"epoch {share.epoch}: {share.billable_ms} ms billed of {most} ms")
    shares_ms = within_grant(sum(share.billable_ms for share in settlement.epochs), settlement.granted_minutes)
    if rate(shares_ms, settlement.tariff) != settlement.charge:
        found.append(f"the epochs' {shares_ms} ms do not cost {settlement.charge}")
    if not account.entries or account.entries[0].charge != settlement.charge:
        found.append("the usage entry is not the settlement's charge")
    owed = NOTHING
    for entry in account.entries:
        owed += entry.charge
        if rate(owed.billable_ms, settlement.tariff) != owed:
            found.append(f"{entry.kind} {entry.entry_id}: {owed.billable_ms} ms do not cost {owed}")
    return found


def against_log(account: Account, usage: Usage) -> list[str]:
    """Differences between a stored account and the one computed from the log."""
    replayed = settle(usage, account.settlement.tariff)
    if usage.sha256 != account.settlement.log.sha256:
        return [f"the log's hash is {usage.sha256}, the bill was made from {account.settlement.log.sha256}"]
    if replayed.settlement != account.settlement:
        return [f"the log gives another settlement: {replayed.settlement.charge}"]
    if replayed.entries != account.entries:
        return [f"the log gives {len(replayed.entries)} entries that come to {replayed.owed}"]
    return []
