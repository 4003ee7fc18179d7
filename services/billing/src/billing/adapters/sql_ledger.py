"""The ledger in SQL. The key of each row follows from its cause, so a repeated write changes nothing."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Column, Row, Select, and_, func, or_, select
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.ext.asyncio import AsyncConnection

from billing.adapters.database import Database
from billing.adapters.schema import ledger_entries, log_gaps, log_position, settlements
from billing.domain.conflict import check_entry, check_settlement
from billing.domain.ledger import Account, Entry, EpochShare, SettledLog, Settlement
from billing.domain.rating import Charge, Tariff
from billing.ports import Gap, PageStart, Position, UserAccount

_IN: Final = 500  # ids in one query
_INSERT: Final = {"sqlite": sqlite_insert, "postgresql": postgresql_insert}


class SqlLedger:
    """`ports.Ledger` on SQLite or PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def settlements(self, session_ids: Sequence[str]) -> dict[str, Settlement]:
        found: dict[str, Settlement] = {}
        async with self._database.reading() as connection:
            for n in range(0, len(session_ids), _IN):
                query = select(settlements).where(settlements.c.session_id.in_(session_ids[n : n + _IN]))
                rows = (await connection.execute(query)).all()
                found |= {row.session_id: _settlement(row) for row in rows}
        return found

    async def record(self, account: Account) -> int:
        (written,) = await self.record_all([account])
        return written

    async def record_all(self, accounts: Sequence[Account]) -> list[int]:
        async with self._database.writing() as connection:
            return [await self._record(connection, account) for account in accounts]

    async def _record(self, connection: AsyncConnection, account: Account) -> int:
        settlement = account.settlement
        written = await self._insert(connection, settlements.c.session_id, _settlement_row(settlement))
        if not written:
            mine = select(settlements).where(settlements.c.session_id == settlement.session_id)
            check_settlement(_settlement((await connection.execute(mine)).one()), settlement)
        for entry in account.entries:
            added = await self._insert(connection, ledger_entries.c.entry_id, _entry_row(entry))
            if not added:
                mine = select(ledger_entries).where(ledger_entries.c.entry_id == str(entry.entry_id))
                check_entry(_entry((await connection.execute(mine)).one()), entry)
            written += added
        return written

    async def position(self) -> Position | None:
        async with self._database.reading() as connection:
            row = (await connection.execute(select(log_position))).one_or_none()
        return None if row is None else Position(row.log_ms, row.seq)

    async def is_empty(self) -> bool:
        async with self._database.reading() as connection:
            return (await connection.execute(select(settlements.c.session_id).limit(1))).first() is None

    async def advance(self, position: Position) -> None:
        row = {"id": 1, "log_ms": position.log_ms, "seq": position.seq}
        insert = _INSERT[self._database.dialect](log_position).values(row)
        is_ahead = or_(log_position.c.log_ms != position.log_ms, log_position.c.seq < position.seq)
        statement = insert.on_conflict_do_update(index_elements=["id"], set_=row, where=is_ahead)
        async with self._database.writing() as connection:
            await connection.execute(statement)

    async def keep_gap(self, gap: Gap) -> None:
        row = {"first_seq": gap.first_seq, "last_seq": gap.last_seq, "found_ms": gap.found_ms}
        insert = _INSERT[self._database.dialect](log_gaps).values(row)
        async with self._database.writing() as connection:
            await connection.execute(insert.on_conflict_do_nothing())

    async def account(self, session_id: str) -> Account | None:
        async with self._database.reading() as connection:
            query = select(settlements).where(settlements.c.session_id == session_id)
            found = await _accounts(connection, (await connection.execute(query)).all())
        return found[0] if found else None

    async def user(
        self, user_id: str, *, limit: int, behind: PageStart | None, account: str | None = None
    ) -> UserAccount | None:
        async with self._database.reading() as connection:
            counts = await _counts(connection, [user_id] if account is None else [user_id, account])
            if not counts:
                return None
            total = (await connection.execute(_sums(counts))).one()
            rows = (await connection.execute(_newest(counts, behind).limit(limit + 1))).all()
            page = await _accounts(connection, rows[:limit])
        last = page[-1].settlement if len(rows) > limit else None
        return UserAccount(
            user_id=user_id,
            sessions=sum(counts.values()),
            owed=Charge(*(int(amount) for amount in total)),  # PostgreSQL sums 64-bit integers into a decimal
            page=tuple(page),
            next=None if last is None else PageStart(last.settled_ms, last.session_id),
        )

    async def _insert(self, connection: AsyncConnection, key: Column[str], row: dict[str, Any]) -> int:
        """Insert a row unless its key exists; a violation of any other constraint raises."""
        insert = _INSERT[self._database.dialect](key.table).values(row)
        statement = insert.on_conflict_do_nothing(index_elements=[key.name])
        return (await connection.execute(statement)).rowcount


async def _counts(connection: AsyncConnection, users: Sequence[str]) -> dict[str, int]:
    """The number of settled sessions by user, without those who have none: one user's page needs no sorting."""
    user = settlements.c.user_id
    query = select(user, func.count()).where(user.in_(users)).group_by(user)
    return {row[0]: int(row[1]) for row in await connection.execute(query)}


def _sums(users: Iterable[str]) -> Select[*tuple[Any, ...]]:
    entry = ledger_entries.c
    return select(
        func.coalesce(func.sum(entry.billable_ms), 0),
        func.coalesce(func.sum(entry.seconds), 0),
        func.coalesce(func.sum(entry.minutes), 0),
        func.coalesce(func.sum(entry.credits), 0),
    ).where(entry.user_id.in_(users))


def _newest(users: Iterable[str], behind: PageStart | None) -> Select[Any]:
    at, session = settlements.c.settled_ms, settlements.c.session_id
    query = select(settlements).where(settlements.c.user_id.in_(users))
    if behind is not None:
        query = query.where(or_(at < behind.settled_ms, and_(at == behind.settled_ms, session < behind.session_id)))
    return query.order_by(at.desc(), session.desc())


async def _accounts(connection: AsyncConnection, rows: Sequence[Row[Any]]) -> list[Account]:
    ids = [row.session_id for row in rows]
    entry = ledger_entries.c
    query = select(ledger_entries).where(entry.session_id.in_(ids)).order_by(entry.session_id, entry.cause_seq)
    entries: dict[str, list[Entry]] = {session_id: [] for session_id in ids}
    if ids:
        for row in await connection.execute(query):
            entries[row.session_id].append(_entry(row))
    return [Account(_settlement(row), tuple(entries[row.session_id])) for row in rows]


def _charge(row: Row[Any]) -> Charge:
    return Charge(row.billable_ms, row.seconds, row.minutes, row.credits)


def _settlement_row(settlement: Settlement) -> dict[str, Any]:
    return {
        "session_id": settlement.session_id,
        "user_id": settlement.user_id,
        "outcome": settlement.outcome,
        "reason": settlement.reason,
        **asdict(settlement.charge),
        "credits_per_minute": settlement.tariff.credits_per_minute,
        "settled_ms": settlement.settled_ms,
        "difference_ms": settlement.difference_ms,
        "ended_seq": settlement.log.ended_seq,
        "records": settlement.log.records,
        "log_sha256": settlement.log.sha256,
        "epochs": json.dumps([asdict(share) for share in settlement.epochs], separators=(",", ":")),
        "granted_minutes": settlement.granted_minutes,
        "rule": settlement.tariff.rule,
    }


def _settlement(row: Row[Any]) -> Settlement:
    return Settlement(
        session_id=row.session_id,
        user_id=row.user_id,
        outcome=row.outcome,
        reason=row.reason,
        charge=_charge(row),
        tariff=Tariff(row.credits_per_minute, row.rule),
        settled_ms=row.settled_ms,
        difference_ms=row.difference_ms,
        log=SettledLog(row.ended_seq, row.records, row.log_sha256),
        epochs=tuple(_share(share) for share in json.loads(row.epochs)),
        granted_minutes=row.granted_minutes,
    )


def _share(row: dict[str, Any]) -> EpochShare:
    return EpochShare(
        epoch=row["epoch"],
        node_id=row["node_id"],
        served_ms=row["served_ms"],
        fault_ms=row.get("fault_ms", 0),  # missing in settlements from before fault time existed
        span_ms=row["span_ms"],
        billable_ms=row["billable_ms"],
        sequences=tuple(row["sequences"]),
        cut_ms=row.get("cut_ms", 0),
    )


def _entry_row(entry: Entry) -> dict[str, Any]:
    return {
        "entry_id": str(entry.entry_id),
        "session_id": entry.session_id,
        "user_id": entry.user_id,
        "kind": entry.kind,
        **asdict(entry.charge),
        "at_ms": entry.at_ms,
        "cause_seq": entry.cause_seq,
        "note": entry.note,
    }


def _entry(row: Row[Any]) -> Entry:
    return Entry(
        entry_id=UUID(row.entry_id),
        session_id=row.session_id,
        user_id=row.user_id,
        kind=row.kind,
        charge=_charge(row),
        at_ms=row.at_ms,
        cause_seq=row.cause_seq,
        note=row.note,
    )
