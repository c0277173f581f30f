"""Variants: jobs of a second kind, what they are to make, and blobs that are stored in a symmetric form."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
PATH = sa.String().with_variant(sa.String(collation="C"), "postgresql")
MOMENT = sa.DateTime(timezone=True)
# SQLite changes a column by making its table anew, and where only SQL is printed there is none to copy from.
JOB = sa.Table(
    "job",
    sa.MetaData(),
    sa.Column("id", BIG_ID, primary_key=True),
    sa.Column("key", sa.String(128), nullable=False, unique=True),
    sa.Column("queue", sa.String(32), nullable=False),
    sa.Column("blob_id", BIG_ID, sa.ForeignKey("blob.id", ondelete="CASCADE"), nullable=False),
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
    sa.Column("priority", sa.Integer(), nullable=False, server_default="0"),
    sa.Column("handovers", sa.Integer(), nullable=False, server_default="0"),
    sa.Column("repo", sa.String(200), nullable=True),
    sa.Column("path", PATH, nullable=True),
    sa.Column("request_id", sa.String(64), nullable=True),
    sa.Column("started_at", MOMENT, nullable=True),
    sa.Column("trace_parent", sa.String(64), nullable=True),
    sa.Index("ix_job_blob_id", "blob_id"),
    sa.Index("ix_job_state_not_before", "state", "not_before"),
    sa.Index("ix_job_due", "state", "queue", "priority", "id"),
    sa.Index("ix_job_state_id", "state", "id"),
)


def upgrade() -> None:
    """Add columns with defaults, a table that the release before does not look at, and jobs that have no blob."""
    op.add_column("blob", sa.Column("symmetric", sa.Boolean(), nullable=False, server_default=sa.false()))
    with op.batch_alter_table("job", copy_from=JOB) as batch:  # nothing refers to jobs yet
        batch.alter_column("blob_id", existing_type=BIG_ID, nullable=True)
        batch.add_column(sa.Column("kind", sa.String(16), nullable=False, server_default="encode"))
    op.create_table(
        "variant",
        sa.Column("job_id", BIG_ID, sa.ForeignKey("job.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("repo_id", BIG_ID, sa.ForeignKey("repo.id", ondelete="CASCADE"), nullable=False),
        sa.Column("method", sa.String(32), nullable=False),
        sa.Column("parameters", sa.JSON(), nullable=False),
        sa.Column("source_id", BIG_ID, sa.ForeignKey("commit.id", ondelete="CASCADE"), nullable=False),
        sa.Column("branch", sa.String(255), nullable=False),
        sa.Column("author", sa.String(96), nullable=False),
        sa.Column("nbytes", sa.BigInteger(), nullable=False),
        sa.Column("commit_id", BIG_ID, sa.ForeignKey("commit.id", ondelete="CASCADE"), nullable=True),
        sa.Column("before_nbytes", sa.BigInteger(), nullable=True),
        sa.Column("after_nbytes", sa.BigInteger(), nullable=True),
    )
    op.create_index("ix_variant_repo_id_job_id", "variant", ["repo_id", "job_id"])
    op.create_index("ix_variant_source_id", "variant", ["source_id"])
    op.create_index("ix_variant_commit_id", "variant", ["commit_id"])


def downgrade() -> None:
    """Take them away again, with the jobs that the release before does not know.

    Files that are stored in a symmetric form are lost to it: it refuses to decode their containers.
    """
    op.drop_table("variant")
    op.execute("DELETE FROM job WHERE kind != 'encode'")
    with op.batch_alter_table("job") as batch:
        batch.alter_column("blob_id", existing_type=BIG_ID, nullable=False)
        batch.drop_column("kind")
    # In place: making the table anew, as a batch does on SQLite, would take the rows that refer to it with it.
    op.drop_column("blob", "symmetric")
