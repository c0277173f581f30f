"""The tables of the first release."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

ROW_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
PATH = sa.String().with_variant(sa.String(collation="C"), "postgresql")
MOMENT = sa.DateTime(timezone=True)

TABLES = (
    "audit",
    "blob",
    "repo",
    "user",
    "worker",
    "job",
    "repo_blob",
    "token",
    "tree",
    "tree_page",
    "upload",
    "commit",
    "tree_entry",
    "tree_span",
    "upload_part",
    "ref",
)


def upgrade() -> None:
    """Create all tables."""
    op.create_table(
        "audit",
        sa.Column("id", ROW_ID, primary_key=True),
        sa.Column("at", MOMENT, nullable=False),
        sa.Column("user", sa.String(96), nullable=False),
        sa.Column("action", sa.String(32), nullable=False),
        sa.Column("repo", sa.String(200), nullable=False),
        sa.Column("detail", sa.JSON(), nullable=False),
    )
    op.create_index("ix_audit_repo_at", "audit", ["repo", "at"])
    op.create_table(
        "blob",
        sa.Column("id", ROW_ID, primary_key=True),
        sa.Column("sha256", sa.String(64), nullable=False, unique=True),
        sa.Column("nbytes", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("raw_key", sa.String(255), nullable=True, unique=True),
        sa.Column("container_key", sa.String(255), nullable=True, unique=True),
        sa.Column("container_nbytes", sa.BigInteger(), nullable=True),
        sa.Column("container_sha256", sa.String(64), nullable=True),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("encoded_at", MOMENT, nullable=True),
        sa.Column("leased_until", MOMENT, nullable=True),
    )
    op.create_index("ix_blob_created_at", "blob", ["created_at"])
    op.create_index("ix_blob_state", "blob", ["state"])
    op.create_table(
        "repo",
        sa.Column("id", ROW_ID, primary_key=True),
        sa.Column("namespace", sa.String(96), nullable=False),
        sa.Column("name", sa.String(96), nullable=False),
        sa.Column("visibility", sa.String(16), nullable=False),
        sa.Column("default_branch", sa.String(255), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.UniqueConstraint("namespace", "name"),
    )
    op.create_table(
        "user",
        sa.Column("id", ROW_ID, primary_key=True),
        sa.Column("name", sa.String(96), nullable=False, unique=True),
        sa.Column("role", sa.String(16), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
    )
    op.create_table(
        "worker",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("queue", sa.String(32), nullable=False),
        sa.Column("pid", sa.BigInteger(), nullable=False),
        sa.Column("started_at", MOMENT, nullable=False),
        sa.Column("heartbeat_at", MOMENT, nullable=False),
    )
    op.create_table(
        "job",
        sa.Column("id", ROW_ID, primary_key=True),
        sa.Column("key", sa.String(128), nullable=False, unique=True),
        sa.Column("queue", sa.String(32), nullable=False),
        sa.Column("blob_id", ROW_ID, sa.ForeignKey("blob.id", ondelete="CASCADE"), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("not_before", MOMENT, nullable=False),
        sa.Column("worker_id", sa.String(64), nullable=True),
        sa.Column("progress_nbytes", sa.BigInteger(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("encode_s", sa.Double(), nullable=True),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("finished_at", MOMENT, nullable=True),
    )
    op.create_index("ix_job_blob_id", "job", ["blob_id"])
    op.create_index("ix_job_state_not_before", "job", ["state", "not_before"])
    op.create_table(
        "repo_blob",
        sa.Column("repo_id", ROW_ID, sa.ForeignKey("repo.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("blob_id", ROW_ID, sa.ForeignKey("blob.id"), primary_key=True),
    )
    op.create_index("ix_repo_blob_blob_id", "repo_blob", ["blob_id"])
    op.create_table(
        "token",
        sa.Column("id", ROW_ID, primary_key=True),
        sa.Column("user_id", ROW_ID, sa.ForeignKey("user.id", ondelete="CASCADE"), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False, unique=True),
        sa.Column("label", sa.String(96), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
    )
    op.create_index("ix_token_user_id", "token", ["user_id"])
    op.create_table(
        "tree",
        sa.Column("id", ROW_ID, primary_key=True),
        sa.Column("repo_id", ROW_ID, sa.ForeignKey("repo.id", ondelete="CASCADE"), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.UniqueConstraint("repo_id", "digest"),
    )
    op.create_table(
        "tree_page",
        sa.Column("id", ROW_ID, primary_key=True),
        sa.Column("repo_id", ROW_ID, sa.ForeignKey("repo.id", ondelete="CASCADE"), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.UniqueConstraint("repo_id", "digest"),
    )
    op.create_table(
        "upload",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("repo_id", ROW_ID, sa.ForeignKey("repo.id", ondelete="CASCADE"), nullable=False),
        sa.Column("user_id", ROW_ID, sa.ForeignKey("user.id", ondelete="CASCADE"), nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("nbytes", sa.BigInteger(), nullable=False),
        sa.Column("encoding", sa.String(16), nullable=False),
        sa.Column("stored_nbytes", sa.BigInteger(), nullable=False),
        sa.Column("stored_sha256", sa.String(64), nullable=False),
        sa.Column("part_nbytes", sa.BigInteger(), nullable=False),
        sa.Column("staging", sa.String(255), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("expires_at", MOMENT, nullable=False),
    )
    op.create_index("ix_upload_expires_at", "upload", ["expires_at"])
    op.create_index("ix_upload_repo_id", "upload", ["repo_id"])
    op.create_index("ix_upload_sha256", "upload", ["sha256"])
    op.create_index("ix_upload_user_id_sha256", "upload", ["user_id", "sha256"])
    op.create_table(
        "commit",
        sa.Column("id", ROW_ID, primary_key=True),
        sa.Column("repo_id", ROW_ID, sa.ForeignKey("repo.id", ondelete="CASCADE"), nullable=False),
        sa.Column("digest", sa.String(40), nullable=False),
        sa.Column("parent_id", ROW_ID, sa.ForeignKey("commit.id"), nullable=True),
        sa.Column("tree_id", ROW_ID, sa.ForeignKey("tree.id", ondelete="CASCADE"), nullable=False),
        sa.Column("author", sa.String(96), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.UniqueConstraint("repo_id", "digest"),
    )
    op.create_index("ix_commit_parent_id", "commit", ["parent_id"])
    op.create_index("ix_commit_tree_id", "commit", ["tree_id"])
    op.create_table(
        "tree_entry",
        sa.Column("page_id", ROW_ID, sa.ForeignKey("tree_page.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("path", PATH, primary_key=True),
        sa.Column("blob_id", ROW_ID, sa.ForeignKey("blob.id"), nullable=False),
    )
    op.create_index("ix_tree_entry_blob_id", "tree_entry", ["blob_id"])
    op.create_table(
        "tree_span",
        sa.Column("tree_id", ROW_ID, sa.ForeignKey("tree.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("first_path", PATH, primary_key=True),
        sa.Column("page_id", ROW_ID, sa.ForeignKey("tree_page.id", ondelete="CASCADE"), nullable=False),
    )
    op.create_index("ix_tree_span_page_id", "tree_span", ["page_id"])
    op.create_table(
        "upload_part",
        sa.Column("upload_id", sa.String(32), sa.ForeignKey("upload.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("number", sa.Integer(), primary_key=True),
        sa.Column("nbytes", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
    )
    op.create_table(
        "ref",
        sa.Column("id", ROW_ID, primary_key=True),
        sa.Column("repo_id", ROW_ID, sa.ForeignKey("repo.id", ondelete="CASCADE"), nullable=False),
        sa.Column("kind", sa.String(8), nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("commit_id", ROW_ID, sa.ForeignKey("commit.id", ondelete="CASCADE"), nullable=False),
        sa.UniqueConstraint("repo_id", "name"),
    )
    op.create_index("ix_ref_commit_id", "ref", ["commit_id"])


def downgrade() -> None:
    """Drop all tables, those first that refer to others."""
    for table in reversed(TABLES):
        op.drop_table(table)
