"""For an upstream: which repos mirror one of its, and files of theirs that were not fetched yet; git's ids of blobs."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Add columns that may be empty, and a table that the release before does not look at."""
    op.add_column("repo", sa.Column("mirrored_at", MOMENT, nullable=True))
    op.add_column("repo", sa.Column("upstream_open", sa.Boolean(), nullable=True))
    op.add_column("blob", sa.Column("git_oid", sa.String(40), nullable=True))
    op.create_table(
        "upstream_file",
        sa.Column("repo_id", BIG_ID, sa.ForeignKey("repo.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("blob_id", BIG_ID, sa.ForeignKey("blob.id", ondelete="CASCADE"), primary_key=True),
    )
    op.create_index("ix_upstream_file_blob_id", "upstream_file", ["blob_id"])


def downgrade() -> None:
    """Take them away again."""
    op.drop_table("upstream_file")
    # In place: making the table anew, as a batch does on SQLite, would take the rows that refer to it with it.
    op.drop_column("blob", "git_oid")
    op.drop_column("repo", "upstream_open")
    op.drop_column("repo", "mirrored_at")
