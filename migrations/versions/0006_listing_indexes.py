"""Indexes for the jobs of one state, the owner of what is staged, and raw blobs that are large."""

from __future__ import annotations

from alembic import op

from freebits_service.migrate import add_index

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add them; none of them changes what the release before does."""
    add_index(op, "ix_job_state_id", "job", ["state", "id"])
    add_index(op, "ix_upload_staging", "upload", ["staging"])
    add_index(op, "ix_blob_state_nbytes_id", "blob", ["state", "nbytes", "id"])


def downgrade() -> None:
    """Take them away again."""
    op.drop_index("ix_blob_state_nbytes_id", "blob")
    op.drop_index("ix_upload_staging", "upload")
    op.drop_index("ix_job_state_id", "job")
