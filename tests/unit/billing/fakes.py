"""Billing's ports in memory; the same suite holds them and the real ones (tests/integration/billing)."""

from collections.abc import AsyncIterator, Sequence

from billing.domain.conflict import check_entry, check_settlement
from billing.domain.ledger import Account, Entry, Settlement
from billing.domain.rating import NOTHING, Tariff
from billing.domain.usage import LoggedEvent
from billing.ports import LedgerUnavailable, LogUnavailable, Place, UserAccount
from contracts.events import SessionBilled, SessionEnded


class FakeLedger:
    """`ports.Ledger`; `is_away` makes it raise."""

    def __init__(self) -> None:
        self.is_away = False
        self.settlements: dict[str, Settlement] = {}
        self.entries: dict[str, Entry] = {}

    async def tariff(self, session_id: str) -> Tariff | None:
        self._answer()
        found = self.settlements.get(session_id)
        return None if found is None else found.tariff

    async def record(self, account: Account) -> int:
        self._answer()
        session_id = account.settlement.session_id
        is_new = session_id not in self.settlements
        check_settlement(self.settlements.get(session_id, account.settlement), account.settlement)
        for entry in account.entries:
            check_entry(self.entries.get(str(entry.entry_id), entry), entry)
        self.settlements[session_id] = account.settlement
        new = [e for e in account.entries if str(e.entry_id) not in self.entries]
        self.entries |= {str(e.entry_id): e for e in new}
        return len(new) + is_new

    async def account(self, session_id: str) -> Account | None:
        self._answer()
        settlement = self.settlements.get(session_id)
        if settlement is None:
            return None
        mine = [e for e in self.entries.values() if e.session_id == session_id]
        return Account(settlement, tuple(sorted(mine, key=lambda e: e.cause_seq)))

    async def user(self, user_id: str, *, limit: int, behind: Place | None) -> UserAccount | None:
        self._answer()
        mine = [s for s in self.settlements.values() if s.user_id == user_id]
        if not mine:
            return None
        mine.sort(key=lambda s: (s.settled_ms, s.session_id), reverse=True)
        rest = [
            s for s in mine if behind is None or (s.settled_ms, s.session_id) < (behind.settled_ms, behind.session_id)
        ]
        page = [a for s in rest[:limit] if (a := await self.account(s.session_id)) is not None]
        last = page[-1].settlement if len(rest) > limit else None
        return UserAccount(
            user_id=user_id,
            sessions=len(mine),
            owed=sum((e.charge for e in self.entries.values() if e.user_id == user_id), NOTHING),
            page=tuple(page),
            next=None if last is None else Place(last.settled_ms, last.session_id),
        )

    def _answer(self) -> None:
        if self.is_away:
            raise LedgerUnavailable("away")


class FakeLog:
    """`ports.Log` over a list of records."""

    def __init__(self, records: Sequence[LoggedEvent] = ()) -> None:
        self.is_away = False
        self.records = list(records)
        self.announced: list[SessionBilled] = []

    async def history(self, session_id: str) -> list[LoggedEvent]:
        self._answer()
        return [r for r in self.records if r.event.session_id == session_id]

    async def last_seq(self, event: str, session_id: str) -> int | None:
        return max((r.seq for r in await self.history(session_id) if r.event.event == event), default=None)

    async def announce(self, billed: SessionBilled) -> bool:
        if await self.last_seq(billed.event, billed.session_id) is not None:
            return False
        last = self.records[-1]
        self.records.append(LoggedEvent(event=billed, stored_ms=last.stored_ms + 1, seq=last.seq + 1))
        self.announced.append(billed)
        return True

    async def ends_and_bills(self, behind: int) -> AsyncIterator[LoggedEvent]:
        self._answer()
        for record in list(self.records):
            if record.seq > behind and isinstance(record.event, SessionEnded | SessionBilled):
                yield record

    def _answer(self) -> None:
        if self.is_away:
            raise LogUnavailable("away")
