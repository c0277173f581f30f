"""Jobs have a priority and know who asked for them; workers say where they run and what for."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from freebits_service.migrate import add_index

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

PATH = sa.String().with_variant(sa.String(collation="C"), "postgresql")
MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Add columns that the release before may leave out, and the index that workers find due jobs by."""
    op.add_column("job", sa.Column("priority", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("job", sa.Column("handovers", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("job", sa.Column("repo", sa.String(200), nullable=True))
    op.add_column("job", sa.Column("path", PATH, nullable=True))
    op.add_column("job", sa.Column("request_id", sa.String(64), nullable=True))
    op.add_column("job", sa.Column("started_at", MOMENT, nullable=True))
    op.add_column("worker", sa.Column("host", sa.String(255), nullable=True))
    op.add_column("worker", sa.Column("device", sa.String(32), nullable=True))
    add_index(op, "ix_job_due", "job", ["state", "queue", "priority", "id"])


def downgrade() -> None:
    """Take them away again."""
    op.drop_index("ix_job_due", "job")
    for table, columns in (
        ("worker", ("device", "host")),
        ("job", ("started_at", "request_id", "path", "repo", "handovers", "priority")),
    ):
        with op.batch_alter_table(table) as batch:
            for column in columns:
                batch.drop_column(column)
