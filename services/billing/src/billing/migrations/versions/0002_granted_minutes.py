"""A settlement names the session's grant, which bounds its charge.

Revision ID: 0002
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("settlements", sa.Column("granted_minutes", sa.BigInteger, nullable=True))


def downgrade() -> None:
    raise NotImplementedError("the ledger cannot be downgraded; restore a backup under the older version instead")
