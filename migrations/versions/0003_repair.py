"""Soft deletion, the collector's queue and lease, the tensor index, damage marks. Only additions.

The release before this one ignores the new columns: rows it adds are looked at by the collector because of the default
of `look_at`, and a repo that was deleted softly has a name that it cannot be asked for.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from freebits_service.migrate import add_index

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

ROW_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
MOMENT = sa.DateTime(timezone=True)
LONG_AGO = sa.text("'1970-01-01 00:00:00.000000'")


def upgrade() -> None:
    """Add columns, tables and indexes."""
    op.add_column("repo", sa.Column("deleted_at", MOMENT, nullable=True))
    op.add_column("repo", sa.Column("deleted_name", sa.String(96), nullable=True))
    op.add_column("repo", sa.Column("purging", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.add_column("blob", sa.Column("look_at", MOMENT, nullable=True, server_default=LONG_AGO))
    op.add_column("blob", sa.Column("damaged_at", MOMENT, nullable=True))
    op.add_column("blob", sa.Column("tensor_count", sa.BigInteger(), nullable=True))
    op.create_table(
        "lease",
        sa.Column("name", sa.String(32), primary_key=True),
        sa.Column("owner", sa.String(128), nullable=False),
        sa.Column("expires_at", MOMENT, nullable=False),
        sa.Column("place", sa.BigInteger(), nullable=False),
        sa.Column("place_at", MOMENT, nullable=False),
    )
    op.create_table(
        "tensor",
        sa.Column("blob_id", ROW_ID, sa.ForeignKey("blob.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("number", sa.Integer(), primary_key=True),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("dtype", sa.String(16), nullable=False),
        sa.Column("shape", sa.JSON(), nullable=False),
        sa.Column("nbytes", sa.BigInteger(), nullable=False),
        sa.Column("start", sa.BigInteger(), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
    )
    op.create_index("ix_tensor_digest_blob_id_number", "tensor", ["digest", "blob_id", "number"])
    add_index(op, "ix_repo_deleted_at", "repo", ["deleted_at"])
    add_index(op, "ix_repo_namespace_deleted_name", "repo", ["namespace", "deleted_name"])
    add_index(op, "ix_commit_repo_id_id", "commit", ["repo_id", "id"])
    add_index(op, "ix_blob_look_at", "blob", ["look_at", "id"])


def downgrade() -> None:
    """Take them away again; repos that were deleted softly stay deleted."""
    op.drop_table("tensor")
    op.drop_table("lease")
    op.drop_index("ix_blob_look_at", "blob")
    for column in ("tensor_count", "damaged_at", "look_at"):
        op.drop_column("blob", column)
    op.drop_index("ix_commit_repo_id_id", "commit")
    op.drop_index("ix_repo_namespace_deleted_name", "repo")
    op.drop_index("ix_repo_deleted_at", "repo")
    for column in ("purging", "deleted_name", "deleted_at"):
        op.drop_column("repo", column)
