"""Settlements and the ledger, append-only in the database itself.

Revision ID: 0001
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_TABLES = ("settlements", "ledger_entries")


def upgrade() -> None:
    op.create_table(
        "settlements",
        sa.Column("session_id", sa.String(80), primary_key=True),
        sa.Column("user_id", sa.String(128), nullable=False),
        sa.Column("outcome", sa.String(16), nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("billable_ms", sa.BigInteger, nullable=False),
        sa.Column("seconds", sa.BigInteger, nullable=False),
        sa.Column("minutes", sa.BigInteger, nullable=False),
        sa.Column("credits", sa.BigInteger, nullable=False),
        sa.Column("credits_per_minute", sa.BigInteger, nullable=False),
        sa.Column("settled_ms", sa.BigInteger, nullable=False),
        sa.Column("difference_ms", sa.BigInteger, nullable=False),
        sa.Column("ended_seq", sa.BigInteger, nullable=False),
        sa.Column("records", sa.Integer, nullable=False),
        sa.Column("log_sha256", sa.String(64), nullable=False),
        sa.Column("epochs", sa.Text, nullable=False),
        sa.CheckConstraint(
            "billable_ms >= 0 AND seconds >= 0 AND minutes >= 0 AND credits >= 0", name="settlements_amounts"
        ),
    )
    op.create_index("settlements_by_user", "settlements", ["user_id", "settled_ms", "session_id"])
    op.create_table(
        "ledger_entries",
        sa.Column("entry_id", sa.String(36), primary_key=True),
        sa.Column("session_id", sa.String(80), sa.ForeignKey("settlements.session_id"), nullable=False),
        sa.Column("user_id", sa.String(128), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("billable_ms", sa.BigInteger, nullable=False),
        sa.Column("seconds", sa.BigInteger, nullable=False),
        sa.Column("minutes", sa.BigInteger, nullable=False),
        sa.Column("credits", sa.BigInteger, nullable=False),
        sa.Column("at_ms", sa.BigInteger, nullable=False),
        sa.Column("cause_seq", sa.BigInteger, nullable=False),
        sa.Column("note", sa.Text, nullable=False),
        sa.CheckConstraint("kind IN ('usage', 'adjustment')", name="ledger_entries_kind"),
    )
    op.create_index("ledger_entries_by_session", "ledger_entries", ["session_id", "cause_seq"], unique=True)
    usage = sa.text("kind = 'usage'")
    op.create_index(
        "ledger_entries_one_usage",
        "ledger_entries",
        ["session_id"],
        unique=True,
        sqlite_where=usage,
        postgresql_where=usage,
    )
    op.create_index("ledger_entries_by_user", "ledger_entries", ["user_id"])
    _refuse_changes()


def downgrade() -> None:
    raise NotImplementedError("the ledger cannot be downgraded; restore a backup under the older version instead")


def _refuse_changes() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute(
            "CREATE FUNCTION billing_append_only() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
            "RAISE EXCEPTION '% is append-only', TG_TABLE_NAME; END $$"
        )
        for table in _TABLES:
            op.execute(
                f"CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
                "FOR EACH STATEMENT EXECUTE FUNCTION billing_append_only()"
            )
        return
    for table in _TABLES:
        for change in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER {table}_no_{change.lower()} BEFORE {change} ON {table} "
                f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
            )
