"""Billing's ports in memory; the same suite holds them and the real ones (tests/integration/billing)."""

import asyncio
from collections.abc import AsyncIterator, Sequence

from billing.domain.conflict import check_entry, check_settlement
from billing.domain.ledger import Account, Entry, Settlement
from billing.domain.rating import NOTHING
from billing.domain.usage import METERED, Recorded
from billing.ports import Extent, Gap, LedgerUnavailable, LogUnavailable, PageStart, Position, UserAccount
from contracts.events import SessionBilled, SessionEnded


class FakeLedger:
    """`ports.Ledger`; `is_away` makes it raise, `refused` are sessions that the database does not take."""

    def __init__(self) -> None:
        self.is_away = False
        self.settlements_by_id: dict[str, Settlement] = {}
        self.entries: dict[str, Entry] = {}
        self.kept: Position | None = None
        self.gaps: list[Gap] = []
        self.refused: set[str] = set()

    async def settlements(self, session_ids: Sequence[str]) -> dict[str, Settlement]:
        self._answer()
        return {s: self.settlements_by_id[s] for s in session_ids if s in self.settlements_by_id}

    async def record(self, account: Account) -> int:
        return (await self.record_all([account]))[0]

    async def record_all(self, accounts: Sequence[Account]) -> list[int]:
        self._answer()
        for account in accounts:
            if account.settlement.session_id in self.refused:
                raise LedgerUnavailable("value out of range")
            stored = self.settlements_by_id.get(account.settlement.session_id, account.settlement)
            check_settlement(stored, account.settlement)
            for entry in account.entries:
                check_entry(self.entries.get(str(entry.entry_id), entry), entry)
        return [self._write(account) for account in accounts]

    def _write(self, account: Account) -> int:
        session_id = account.settlement.session_id
        is_new = session_id not in self.settlements_by_id
        self.settlements_by_id[session_id] = account.settlement
        new = [e for e in account.entries if str(e.entry_id) not in self.entries]
        self.entries |= {str(e.entry_id): e for e in new}
        return len(new) + is_new

    async def position(self) -> Position | None:
        self._answer()
        return self.kept

    async def is_empty(self) -> bool:
        self._answer()
        return not self.settlements_by_id

    async def advance(self, position: Position) -> None:
        self._answer()
        if self.kept is None or self.kept.log_ms != position.log_ms or self.kept.seq < position.seq:
            self.kept = position

    async def keep_gap(self, gap: Gap) -> None:
        self._answer()
        self.gaps.append(gap)

    async def account(self, session_id: str) -> Account | None:
        self._answer()
        settlement = self.settlements_by_id.get(session_id)
        if settlement is None:
            return None
        mine = [e for e in self.entries.values() if e.session_id == session_id]
        return Account(settlement, tuple(sorted(mine, key=lambda e: e.cause_seq)))

    async def user(
        self, user_id: str, *, limit: int, behind: PageStart | None, account: str | None = None
    ) -> UserAccount | None:
        self._answer()
        ids = (user_id, account)
        mine = [s for s in self.settlements_by_id.values() if s.user_id in ids]
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
            owed=sum((e.charge for e in self.entries.values() if e.user_id in ids), NOTHING),
            page=tuple(page),
            next=None if last is None else PageStart(last.settled_ms, last.session_id),
        )

    def _answer(self) -> None:
        if self.is_away:
            raise LedgerUnavailable("away")


class FakeLog:
    """`ports.SessionLog` over a list of records; `is_away` makes it raise, `refuses` only what it should publish."""

    def __init__(self, records: Sequence[Recorded] = ()) -> None:
        self.is_away = self.refuses = False
        self.records = list(records)
        self.announced: list[SessionBilled] = []
        self.buried: list[tuple[Recorded, str]] = []
        self.read: list[str] = []
        self.log_ms = 1
        self.shown = self.moves = 0

    async def history(self, session_id: str) -> list[Recorded]:
        self._answer()
        self.read.append(session_id)
        return [r for r in self.records if r.event.session_id == session_id]

    async def last_seq(self, event: str, session_id: str) -> int | None:
        self._answer()
        found = (r.seq for r in self.records if r.event.event == event and r.event.session_id == session_id)
        return max(found, default=None)

    async def announce(self, billed: SessionBilled) -> bool:
        if await self.last_seq(billed.event, billed.session_id) is not None:
            return False
        if self.refuses:
            raise LogUnavailable("refused")
        last = self.records[-1]
        self.records.append(Recorded(event=billed, stored_ms=last.stored_ms + 1, seq=last.seq + 1))
        self.announced.append(billed)
        return True

    async def extent(self) -> Extent:
        self._answer()
        seqs = [r.seq for r in self.records]
        return Extent(self.log_ms, min(seqs, default=1), max(seqs, default=0))

    async def newest(self) -> int:
        self._answer()
        return max((r.seq for r in self.records if isinstance(r.event, (SessionEnded, *METERED))), default=0)

    async def follow(self, behind: int) -> AsyncIterator[Recorded]:
        for record in list(self.records):
            if record.seq > behind and isinstance(record.event, (SessionEnded, *METERED)):
                yield record
        await asyncio.Event().wait()

    async def show_position(self, seq: int, *, may_go_back: bool) -> None:
        self._answer()
        if seq > self.shown or may_go_back:
            self.shown = seq
            self.moves += 1

    async def shown_position(self) -> int:
        self._answer()
        return self.shown

    async def bury(self, cause: Recorded, reason: str) -> None:
        self._answer()
        self.buried.append((cause, reason))

    def _answer(self) -> None:
        if self.is_away:
            raise LogUnavailable("away")
