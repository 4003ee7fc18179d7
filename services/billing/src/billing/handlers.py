"""What billing does when something happens: read the log, settle by it, write the ledger, announce."""

import asyncio
import time
from collections.abc import Callable
from typing import Final

from chassis.nats import Rejected, RetryLater, Stored
from contracts.commands import CreditGranted, GrantCredit, ReserveCredit
from contracts.events import Event, SessionEnded
from contracts.subjects import session_event

from billing.domain.conflict import SettledMeanwhile, SettledOtherwise
from billing.domain.ledger import Account, billed, settle
from billing.domain.rating import Tariff
from billing.domain.unbilled import Unbilled
from billing.domain.usage import METERED, IncompleteLog, NotEnded, usage
from billing.ports import Ledger, LedgerUnavailable, Log, LogUnavailable
from chassis import logs, metrics

CONSUMED: Final = tuple(session_event(cls.event, "*") for cls in (SessionEnded, *METERED))
"""What billing consumes: the end, and whatever may come late and change a bill."""

_FIRST_RETRY_S: Final = 0.5
_LAST_RETRY_S: Final = 15.0
_SWEEP_S: Final = 60.0
_ROWS_OF_A_SETTLEMENT: Final = 2  # its own, and its usage entry

_SETTLED: Final = metrics.counter("billing_settlements_total", "Sessions settled", ("outcome",))
_MINUTES: Final = metrics.counter("billing_minutes_total", "Minutes billed at settlement")
_ADJUSTED: Final = metrics.counter("billing_adjustments_total", "Entries made by what came after the end")
_DIFFERS: Final = metrics.counter("billing_differences_total", "Settlements that differ from the scheduler's figure")
_CUT: Final = metrics.counter("billing_cut_total", "Settlements with a report that JetStream's clock does not allow")
_CONFLICTS: Final = metrics.counter("billing_conflicts_total", "Bills refused: the ledger has another under the id")
_WAITING: Final = metrics.gauge("billing_unbilled_sessions", "Ended sessions in the log without a bill")
_UNAVAILABLE: Final = metrics.counter("billing_unavailable_total", "Attempts that found a store away", ("store",))

log = logs.get_logger(__name__)


class Settling:
    """Settles sessions; safe to repeat, in any order and by any number of replicas at once."""

    def __init__(self, sessions: Log, ledger: Ledger, tariff: Tariff) -> None:
        self._sessions = sessions
        self._ledger = ledger
        self._tariff = tariff
        self._failures = 0

    async def on_event(self, event: Event, stored: Stored) -> None:
        """An end settles its session with all that stands before it; anything else only matters behind an end.

        Raises:
            RetryLater: The database or the log is away.
            Rejected: The session can never be billed.
        """
        try:
            if isinstance(event, SessionEnded) or await self._is_late(event, stored.seq):
                await self.settle(event.session_id)
            self._failures = 0
        except (LedgerUnavailable, LogUnavailable, SettledMeanwhile) as error:
            _UNAVAILABLE.labels("log" if isinstance(error, LogUnavailable) else "ledger").inc()
            delay_s = min(_LAST_RETRY_S, _FIRST_RETRY_S * 2**self._failures)
            self._failures = min(self._failures + 1, 10)
            raise RetryLater(delay_s, str(error)) from error
        except (IncompleteLog, NotEnded, SettledOtherwise) as error:
            raise Rejected(str(error)) from error

    async def _is_late(self, event: Event, seq: int) -> bool:
        """Whether it stands behind its session's end; a backlog's events before it are left to that end's message."""
        ended_seq = await self._sessions.last_seq(SessionEnded.event, event.session_id)
        return ended_seq is not None and seq > ended_seq

    async def settle(self, session_id: str) -> Account:
        """Bring the ledger up to the session's log, and announce the bill.

        Raises:
            NotEnded: The log has no `ended`.
            IncompleteLog: The log has lost its beginning.
            LedgerUnavailable: The database does not answer.
            LogUnavailable: The log does not answer.
            SettledMeanwhile: Another replica settled it by another tariff; a repetition will use that one.
            SettledOtherwise: The ledger has another bill under this id; nothing is written and nothing announced.
        """
        used = usage(session_id, await self._sessions.history(session_id))
        tariff = await self._ledger.tariff(session_id)
        account = settle(used, tariff or self._tariff)
        try:
            written = await self._ledger.record(account)
        except SettledOtherwise as conflict:
            _CONFLICTS.inc()
            log.error("session.bill_conflict", session_id=session_id, reason=conflict.reason)
            raise
        if written:
            _note(account, written, first=tariff is None)
        await self._sessions.announce(billed(account.settlement))
        return account


class Reconciler:
    """Finds ended sessions whose bill is missing: their `ended` never reached us, or we died before `billed`."""

    def __init__(
        self, sessions: Log, settling: Settling, *, every_s: float, now: Callable[[], float] = time.time
    ) -> None:
        self._sessions = sessions
        self._settling = settling
        self._every_s = every_s
        self._now = now
        self._unbilled = Unbilled()

    async def run(self) -> None:
        """Sweep for ever."""
        while True:
            await asyncio.sleep(self._every_s)
            try:
                async with asyncio.timeout(_SWEEP_S):
                    await self.sweep()
            except TimeoutError:
                log.warning("reconciler.slow", position=self._unbilled.position)
            except (LedgerUnavailable, LogUnavailable, SettledMeanwhile) as error:
                log.warning("reconciler.waiting", reason=str(error))
            except Exception:
                log.exception("reconciler.bug")

    async def sweep(self) -> list[str]:
        """Settle what ended at least one period ago and has no bill; returns those sessions."""
        async for record in self._sessions.ends_and_bills(self._unbilled.position):
            self._unbilled.follow(record.event, record.seq, record.stored_ms)
        _WAITING.set(len(self._unbilled.waiting))
        found: list[str] = []
        for session_id in self._unbilled.overdue(int((self._now() - self._every_s) * 1000)):
            try:
                await self._settling.settle(session_id)
                found.append(session_id)
                log.warning("reconciler.settled", session_id=session_id)
            except (LedgerUnavailable, LogUnavailable, SettledMeanwhile):
                raise  # they wait for the next sweep
            except (IncompleteLog, NotEnded, SettledOtherwise) as error:
                log.error("reconciler.unbillable", session_id=session_id, reason=str(error))
            except Exception:  # one session's bug must not hold up the others
                log.exception("reconciler.bug", session_id=session_id)
            self._unbilled.waiting.pop(session_id, None)
        return found


async def reserve(command: ReserveCredit) -> CreditGranted:
    """Hold the first minute: every user is post-paid, so there is no bound to hold it against."""
    return CreditGranted(granted_minutes=None)


async def grant(command: GrantCredit) -> CreditGranted:
    """Raise a grant: every user is post-paid, so there is no bound to raise."""
    return CreditGranted(granted_minutes=None)


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
    adjustments = written - _ROWS_OF_A_SETTLEMENT if first else written
    if adjustments:
        _ADJUSTED.inc(adjustments)
        log.warning("session.adjusted", session_id=session_id, entries=adjustments, seconds=account.owed.seconds)
