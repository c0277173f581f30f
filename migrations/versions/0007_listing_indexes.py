"""An index for the jobs of one state, newest first: the primary key alone would be walked past all others."""

from __future__ import annotations

from alembic import op

from freebits_service.migrate import add_index

revision = "0007"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the index."""
    add_index(op, "ix_job_state_id", "job", ["state", "id"])


def downgrade() -> None:
    """Take it away again."""
    op.drop_index("ix_job_state_id", "job")
