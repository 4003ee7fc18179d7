"""The tables after the last migration. Amounts are integers and times are Unix ms, in every database."""

from typing import Final

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    text,
)

REVISION: Final = "0003"
"""The newest migration; the service refuses a database at another one."""

GUARDS: Final = {
    "sqlite": frozenset(
        f"{table}_no_{change}"
        for table in ("settlements", "ledger_entries")
        for change in ("update", "delete", "replace")
    ),
    "postgresql": frozenset(("settlements_append_only", "ledger_entries_append_only")),
}
"""The triggers that keep the ledger append-only, by database."""

metadata = MetaData()

settlements = Table(
    "settlements",
    metadata,
    Column("session_id", String(80), primary_key=True),
    Column("user_id", String(128), nullable=False),
    Column("outcome", String(16), nullable=False),
    Column("reason", Text, nullable=False),
    Column("billable_ms", BigInteger, nullable=False),
    Column("seconds", BigInteger, nullable=False),
    Column("minutes", BigInteger, nullable=False),
    Column("credits", BigInteger, nullable=False),
    Column("credits_per_minute", BigInteger, nullable=False),
    Column("settled_ms", BigInteger, nullable=False),
    Column("difference_ms", BigInteger, nullable=False),
    Column("ended_seq", BigInteger, nullable=False),
    Column("records", Integer, nullable=False),
    Column("log_sha256", String(64), nullable=False),
    Column("epochs", Text, nullable=False),
    Column("granted_minutes", BigInteger),
    Column("rule", Integer, nullable=False, server_default=text("1")),
    CheckConstraint("billable_ms >= 0 AND seconds >= 0 AND minutes >= 0 AND credits >= 0", name="settlements_amounts"),
    Index("settlements_by_user", "user_id", "settled_ms", "session_id"),
)

ledger_entries = Table(
    "ledger_entries",
    metadata,
    Column("entry_id", String(36), primary_key=True),
    Column("session_id", String(80), ForeignKey("settlements.session_id"), nullable=False),
    Column("user_id", String(128), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("billable_ms", BigInteger, nullable=False),
    Column("seconds", BigInteger, nullable=False),
    Column("minutes", BigInteger, nullable=False),
    Column("credits", BigInteger, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("cause_seq", BigInteger, nullable=False),
    Column("note", Text, nullable=False),
    CheckConstraint("kind IN ('usage', 'adjustment')", name="ledger_entries_kind"),
    Index("ledger_entries_by_session", "session_id", "cause_seq", unique=True),
    Index(
        "ledger_entries_one_usage",
        "session_id",
        unique=True,
        sqlite_where=text("kind = 'usage'"),
        postgresql_where=text("kind = 'usage'"),
    ),
    Index("ledger_entries_by_user", "user_id"),
)

log_position = Table(
    "log_position",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("log_ms", BigInteger, nullable=False),
    Column("seq", BigInteger, nullable=False),
    CheckConstraint("id = 1 AND seq >= 0", name="log_position_one_row"),
)
"""The position in the log up to which every end is settled; written after the settlements it covers."""

log_gaps = Table(
    "log_gaps",
    metadata,
    Column("first_seq", BigInteger, primary_key=True),
    Column("last_seq", BigInteger, nullable=False),
    Column("found_ms", BigInteger, nullable=False),
)
"""Ranges that the log dropped before billing read them; the sessions that ended there have no bill."""
