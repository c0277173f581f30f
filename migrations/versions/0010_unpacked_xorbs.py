"""Xorbs that are unpacked when they arrive: how much of their objects are chunks.

The release before this one refuses files that are made of such xorbs, so a client that sent its chunks to the new one
and its shard to the old one has to try again.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add a column; what is there is packed, and NULL says so."""
    op.add_column("xorb", sa.Column("data_nbytes", sa.BigInteger(), nullable=True))


def downgrade() -> None:
    """Take it away again, with the xorbs that nobody could read; clients send them anew."""
    op.execute("DELETE FROM xorb WHERE data_nbytes IS NOT NULL")
    op.drop_column("xorb", "data_nbytes")
