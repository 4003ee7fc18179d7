from dataclasses import replace

from billing.domain.audit import against_log, findings
from billing.domain.ledger import settle
from billing.domain.rating import Charge, Tariff
from billing.domain.usage import usage
from tests.support.billing.logs import call
from tests.support.events import SESSION, stopped, tick

USAGE = usage(SESSION, call(61_000, tick(70_000), stopped(125_000)))
ACCOUNT = settle(USAGE, Tariff(3))


def test_a_bill_agrees_with_its_evidence_and_its_log() -> None:
    assert findings(ACCOUNT) == []
    assert against_log(ACCOUNT, USAGE) == []


def test_a_charge_that_its_epochs_do_not_give_is_found() -> None:
    wrong = replace(ACCOUNT, settlement=replace(ACCOUNT.settlement, charge=Charge(61_000, 61, 2, 7)))

    assert any("do not cost" in found for found in findings(wrong))
    assert "the usage entry is not the settlement's charge" in findings(wrong)


def test_an_epoch_that_was_billed_beyond_its_span_is_found() -> None:
    (share,) = ACCOUNT.settlement.epochs
    wrong = replace(ACCOUNT, settlement=replace(ACCOUNT.settlement, epochs=(replace(share, span_ms=10_000),)))

    assert findings(wrong) == ["epoch 1: 61000 ms billed of 10000 ms"]


def test_an_epoch_that_was_billed_for_its_fault_time_is_found() -> None:
    (share,) = ACCOUNT.settlement.epochs
    wrong = replace(ACCOUNT, settlement=replace(ACCOUNT.settlement, epochs=(replace(share, fault_ms=1_000),)))

    assert findings(wrong) == ["epoch 1: 61000 ms billed of 60000 ms"]


def test_a_missing_adjustment_is_found_by_the_log() -> None:
    (found,) = against_log(replace(ACCOUNT, entries=ACCOUNT.entries[:1]), USAGE)

    assert found.startswith("the log gives 3 entries")


def test_another_log_is_found_by_its_hash() -> None:
    (found,) = against_log(ACCOUNT, usage(SESSION, call(62_000)))

    assert found.startswith("the log's hash is")
