"""The rule of each settlement, the position in the log, and no REPLACE in SQLite.

Revision ID: 0003
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_KEYS = {
    "settlements": "session_id = NEW.session_id",
    "ledger_entries": "entry_id = NEW.entry_id",
}
_OTHER_KEYS = (
    "session_id = NEW.session_id AND (cause_seq = NEW.cause_seq OR (kind = 'usage' AND NEW.kind = 'usage'))"
    " AND entry_id <> NEW.entry_id"
)


def upgrade() -> None:
    # Settlements from before rules existed used the first rule.
    op.add_column("settlements", sa.Column("rule", sa.Integer, nullable=False, server_default=sa.text("1")))
    op.create_table(
        "log_position",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("log_ms", sa.BigInteger, nullable=False),
        sa.Column("seq", sa.BigInteger, nullable=False),
        sa.CheckConstraint("id = 1 AND seq >= 0", name="log_position_one_row"),
    )
    op.create_table(
        "log_gaps",
        sa.Column("first_seq", sa.BigInteger, primary_key=True),
        sa.Column("last_seq", sa.BigInteger, nullable=False),
        sa.Column("found_ms", sa.BigInteger, nullable=False),
    )
    if op.get_bind().dialect.name == "sqlite":
        _refuse_replacing()


def downgrade() -> None:
    raise NotImplementedError("the ledger cannot be downgraded; restore a backup under the older version instead")


def _refuse_replacing() -> None:
    """Ignore `INSERT OR REPLACE` of an existing row, which would delete the row without its delete trigger."""
    for table, same_key in _KEYS.items():
        op.execute(
            f"CREATE TRIGGER {table}_no_replace BEFORE INSERT ON {table} "
            f"WHEN EXISTS (SELECT 1 FROM {table} WHERE {same_key}) BEGIN SELECT RAISE(IGNORE); END"
        )
    op.execute(
        "CREATE TRIGGER ledger_entries_one_cause BEFORE INSERT ON ledger_entries "
        f"WHEN EXISTS (SELECT 1 FROM ledger_entries WHERE {_OTHER_KEYS}) "
        "BEGIN SELECT RAISE(ABORT, 'ledger_entries is append-only'); END"
    )
