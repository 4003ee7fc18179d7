"""Settling: read the sessions' logs, compute their accounts, write them, announce the bills."""

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Mapping
from functools import partial
from typing import Any, Final, TypeVar

from opentelemetry.trace import SpanKind

from billing.domain.backlog import Due
from billing.domain.conflict import SettledOtherwise
from billing.domain.ledger import Account, Settlement, billed, settle, tariff_then
from billing.domain.rating import Tariff
from billing.domain.usage import IncompleteLog, NotEnded, Recorded, usage
from billing.ports import Ledger, LedgerUnavailable, SessionLog
from chassis import logs, metrics, telemetry
from contracts.events import SessionEnded

FINAL: Final = (IncompleteLog, NotEnded, SettledOtherwise)
"""The session can never be billed: a retry gives the same result."""

_AT_ONCE: Final = 16
_FAILURES: Final = 3  # in a row: the database is unavailable, rather than one session at fault
_ROWS_OF_A_SETTLEMENT: Final = 2  # the settlement and its usage entry

_SETTLED: Final = metrics.counter("billing_settlements_total", "Sessions settled", ("outcome",))
_MINUTES: Final = metrics.counter("billing_minutes_total", "Minutes billed at settlement")
_ADJUSTED: Final = metrics.counter("billing_adjustments_total", "Entries made by what came after the end")
_DIFFERS: Final = metrics.counter("billing_differences_total", "Settlements that differ from the scheduler's figure")
_CUT: Final = metrics.counter("billing_cut_total", "Settlements with a report that JetStream's clock does not allow")
_LOST: Final = metrics.counter("billing_lost_seconds_total", "Served seconds that a lost log no longer proves: no bill")
_CONFLICTS: Final = metrics.counter("billing_conflicts_total", "Bills refused: the ledger has another under the id")

T = TypeVar("T")

log = logs.get_logger(__name__)


class Settling:
    """Settles sessions; safe to repeat, in any order and in any number of replicas."""

    def __init__(self, sessions: SessionLog, ledger: Ledger, tariff: Tariff) -> None:
        self._sessions = sessions
        self._ledger = ledger
        self._tariff = tariff
        self._turns = asyncio.Semaphore(_AT_ONCE)

    async def settle(self, due: Mapping[str, Due]) -> dict[str, Exception | None]:
        """Bring the ledger up to date with the sessions' logs, and announce the bills.

        Returns:
            By session id the error that prevented it; None: the session is settled and announced.
        """
        try:
            stored = await self._ledger.settlements(list(due))
        except LedgerUnavailable as error:
            return dict.fromkeys(due, error)
        ids = sorted(due)  # so that two replicas lock rows in the same order
        found = await self._all(self._make(session_id, due[session_id], stored.get(session_id)) for session_id in ids)
        accounts = {s: each for s, each in zip(ids, found, strict=True) if isinstance(each, Account)}
        done = {s: each for s, each in zip(ids, found, strict=True) if isinstance(each, Settlement)}
        settled_before = {s: None for s, each in zip(ids, found, strict=True) if each is None}
        failed = {s: each for s, each in zip(ids, found, strict=True) if isinstance(each, Exception)}
        notes: dict[str, Callable[[], None]] = {}
        for session_id, written in (await self._record(accounts)).items():
            if isinstance(written, Exception):
                failed[session_id] = written
                continue
            done[session_id] = accounts[session_id].settlement
            if written:
                notes[session_id] = partial(_note, accounts[session_id], written, first=session_id not in stored)
        told = await self._all(self._announce(each, due[s], notes.get(s)) for s, each in done.items())
        for session_id, error in failed.items():
            if isinstance(error, SettledOtherwise):
                _CONFLICTS.inc()
                log.error("session.bill_conflict", session_id=session_id, reason=error.reason)
        return failed | settled_before | dict(zip(done, told, strict=True))

    async def _make(self, session_id: str, due: Due, stored: Settlement | None) -> Account | Settlement | None:
        """Compute the account from the log.

        Returns:
            The stored settlement when the session is settled and has no later event; None when it is settled and the
            log has lost its beginning since, so that neither a bill nor a dead letter is due.
        """
        end = due.cause
        is_end = isinstance(end.event, SessionEnded) and not due.is_late
        if stored is not None and is_end and _is_of(stored, end):
            return stored
        try:
            used = usage(session_id, await self._sessions.history(session_id))
        except (IncompleteLog, NotEnded) as error:
            if stored is None or not _is_of(stored, end):
                raise
            log.warning("session.settled_before", session_id=session_id, cause_seq=end.seq, reason=str(error))
            return None  # announced before: the log may have dropped its `billed` too
        return settle(used, tariff_then(used, self._tariff) if stored is None else stored.tariff)

    async def _record(self, accounts: Mapping[str, Account]) -> dict[str, int | Exception]:
        """Write all in one transaction; if that fails, one by one, so that one bad session blocks no other."""
        if not accounts:
            return {}
        try:
            return dict(zip(accounts, await self._ledger.record_all(list(accounts.values())), strict=True))
        except Exception as error:
            if len(accounts) == 1:
                return dict.fromkeys(accounts, error)
        results: dict[str, int | Exception] = {}
        failures = 0
        for session_id, account in accounts.items():
            try:
                results[session_id] = await self._ledger.record(account)
                failures = 0
            except Exception as error:
                results[session_id] = error
                failures += isinstance(error, LedgerUnavailable)
                if failures == _FAILURES:
                    return results | dict.fromkeys([s for s in accounts if s not in results], error)
        return results

    async def _announce(self, settlement: Settlement, due: Due, note: Callable[[], None] | None) -> None:
        with telemetry.span("billing settle", SpanKind.CONSUMER, parent=telemetry.extract(due.cause.trace)):
            if note is not None:
                note()
            await self._sessions.announce(billed(settlement))

    async def _all(self, works: Iterable[Coroutine[Any, Any, T]]) -> list[T | Exception]:
        """Run the works, at most 16 at once; an exception is that work's result."""

        async def one(work: Coroutine[Any, Any, T]) -> T | Exception:
            async with self._turns:
                try:
                    return await work
                except Exception as error:
                    return error

        return await asyncio.gather(*(one(work) for work in works))


def _is_of(stored: Settlement, cause: Recorded) -> bool:
    """Whether the event is the end that the settlement was made from, or a later one of the same log."""
    if isinstance(cause.event, SessionEnded):
        return (stored.log.ended_seq, stored.settled_ms) == (cause.seq, cause.stored_ms)
    return cause.seq > stored.log.ended_seq


def _note(account: Account, written: int, *, first: bool) -> None:
    settlement, session_id = account.settlement, account.settlement.session_id
    if first:
        _SETTLED.labels(settlement.outcome).inc()
        _MINUTES.inc(settlement.charge.minutes)
        log.info(
            "session.settled",
            session_id=session_id,
            outcome=settlement.outcome,
            seconds=settlement.charge.seconds,
            minutes=settlement.charge.minutes,
            credits=settlement.charge.credits,
        )
        if settlement.difference_ms:
            _DIFFERS.inc()
            log.warning("session.bill_differs", session_id=session_id, difference_ms=settlement.difference_ms)
        if settlement.cut_ms:
            _CUT.inc()
            log.error("session.cut", session_id=session_id, cut_ms=settlement.cut_ms)
        if account.lost_ms:
            _LOST.inc(account.lost_ms / 1000)
            log.error(
                "session.time_lost",
                session_id=session_id,
                lost_ms=account.lost_ms,
                fix="NATS lost the log of this call; see docs/runbooks/lost-log.md.",
            )
    adjustments = written - _ROWS_OF_A_SETTLEMENT if first else written
    if adjustments:
        _ADJUSTED.inc(adjustments)
        log.warning("session.adjusted", session_id=session_id, entries=adjustments, seconds=account.owed.seconds)
