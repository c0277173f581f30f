"""For Hugging Face clients: kinds of repos, a key to sign grants with, xorbs of Xet uploads."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Add a column with a default, and tables that the release before does not look at."""
    op.add_column("repo", sa.Column("kind", sa.String(8), nullable=False, server_default="model"))
    op.create_table(
        "signing_key",
        sa.Column("name", sa.String(32), primary_key=True),
        sa.Column("secret", sa.String(64), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
    )
    op.create_table(
        "xorb",
        sa.Column("id", BIG_ID, primary_key=True),
        sa.Column("user_id", BIG_ID, sa.ForeignKey("user.id", ondelete="CASCADE"), nullable=False),
        sa.Column("hash", sa.String(64), nullable=False),
        sa.Column("key", sa.String(255), nullable=False, unique=True),
        sa.Column("nbytes", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", MOMENT, nullable=False),
        sa.UniqueConstraint("user_id", "hash"),
    )
    op.create_index("ix_xorb_expires_at", "xorb", ["expires_at"])


def downgrade() -> None:
    """Take them away again."""
    op.drop_table("xorb")
    op.drop_table("signing_key")
    # In place: making the table anew, as a batch does on SQLite, would take the rows that refer to it with it.
    op.drop_column("repo", "kind")
