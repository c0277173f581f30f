"""Counts of the whole hub are kept, and jobs know the trace that asked for them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)
SAMPLES = ("queues", "content")


def upgrade() -> None:
    """Add a table with a row per sample, due at once, and a column that the release before may leave out."""
    op.create_table(
        "sample",
        sa.Column("name", sa.String(32), primary_key=True),
        sa.Column("due_at", MOMENT, nullable=False),
        sa.Column("taken_at", MOMENT, nullable=True),
        sa.Column("value", sa.JSON(), nullable=False),
    )
    for name in SAMPLES:
        op.execute(f"INSERT INTO sample (name, due_at, value) VALUES ('{name}', '2000-01-01 00:00:00', '{{}}')")
    op.add_column("job", sa.Column("trace_parent", sa.String(64), nullable=True))


def downgrade() -> None:
    """Take them away again."""
    with op.batch_alter_table("job") as batch:
        batch.drop_column("trace_parent")
    op.drop_table("sample")
