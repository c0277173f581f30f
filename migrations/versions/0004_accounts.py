"""Organizations, token scopes, quotas, OIDC identities, and where a change came from."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from freebits_service.migrate import add_index

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

ROW_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
MOMENT = sa.DateTime(timezone=True)

NEW_TABLES = ("membership", "namespace", "identity", "oidc_login")

# Every name that a user has or that repos are in, with what the repos there hold: once per repo.
FILL_NAMESPACES = """
INSERT INTO namespace (name, kind, created_at, logical_nbytes, stored_nbytes)
SELECT names.name,
       CASE WHEN EXISTS (SELECT 1 FROM "user" WHERE "user".name = names.name) THEN 'user' ELSE 'open' END,
       CURRENT_TIMESTAMP, COALESCE(held.logical, 0), COALESCE(held.stored, 0)
FROM (SELECT name FROM "user" UNION SELECT namespace FROM repo) AS names
LEFT JOIN (
    SELECT repo.namespace AS name, SUM(blob.nbytes) AS logical,
           SUM(COALESCE(blob.container_nbytes, blob.nbytes)) AS stored
    FROM repo JOIN repo_blob ON repo_blob.repo_id = repo.id JOIN blob ON blob.id = repo_blob.blob_id
    GROUP BY repo.namespace
) AS held ON held.name = names.name
"""


def _new_columns() -> dict[str, tuple[sa.Column[object], ...]]:
    return {
        "user": (sa.Column("disabled_at", MOMENT, nullable=True),),
        "token": (
            sa.Column("scope", sa.String(16), nullable=False, server_default="admin"),
            sa.Column("limited_to", sa.String(200), nullable=False, server_default=""),
            sa.Column("expires_at", MOMENT, nullable=True),
            sa.Column("last_used_at", MOMENT, nullable=True),
        ),
        "audit": (
            sa.Column("token_id", sa.BigInteger(), nullable=True),
            sa.Column("address", sa.String(64), nullable=False, server_default=""),
            sa.Column("request_id", sa.String(64), nullable=False, server_default=""),
            sa.Column("namespace", sa.String(96), nullable=False, server_default=""),
        ),
    }


def upgrade() -> None:
    """Add tables, and columns that the release before need not know."""
    for table, columns in _new_columns().items():
        for column in columns:
            op.add_column(table, column)
    add_index(op, "ix_audit_namespace_id", "audit", ["namespace", "id"])
    add_index(op, "ix_audit_user_id", "audit", ["user", "id"])
    add_index(op, "ix_repo_visibility_namespace_name", "repo", ["visibility", "namespace", "name"])
    _create_namespaces()
    _create_identities()
    op.execute(FILL_NAMESPACES)


def _create_namespaces() -> None:
    op.create_table(
        "namespace",
        sa.Column("id", ROW_ID, primary_key=True),
        sa.Column("name", sa.String(96), nullable=False, unique=True),
        sa.Column("kind", sa.String(8), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("logical_nbytes", sa.BigInteger(), nullable=False, server_default="0"),
        sa.Column("stored_nbytes", sa.BigInteger(), nullable=False, server_default="0"),
        sa.Column("quota_logical_nbytes", sa.BigInteger(), nullable=True),
        sa.Column("quota_stored_nbytes", sa.BigInteger(), nullable=True),
    )
    op.create_table(
        "membership",
        sa.Column("user_id", ROW_ID, sa.ForeignKey("user.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("namespace_id", ROW_ID, sa.ForeignKey("namespace.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("role", sa.String(16), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
    )
    op.create_index("ix_membership_namespace_id", "membership", ["namespace_id"])


def _create_identities() -> None:
    op.create_table(
        "identity",
        sa.Column("id", ROW_ID, primary_key=True),
        sa.Column("user_id", ROW_ID, sa.ForeignKey("user.id", ondelete="CASCADE"), nullable=False),
        sa.Column("issuer", sa.String(255), nullable=False),
        sa.Column("subject", sa.String(255), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.UniqueConstraint("issuer", "subject"),
    )
    op.create_index("ix_identity_user_id", "identity", ["user_id"])
    op.create_table(
        "oidc_login",
        sa.Column("state_digest", sa.String(64), primary_key=True),
        sa.Column("challenge", sa.String(64), nullable=False),
        sa.Column("nonce", sa.String(64), nullable=False),
        sa.Column("redirect_uri", sa.String(255), nullable=False),
        sa.Column("expires_at", MOMENT, nullable=False),
    )
    op.create_index("ix_oidc_login_expires_at", "oidc_login", ["expires_at"])


def downgrade() -> None:
    """Back to users, tokens and an audit trail without addresses; organizations, quotas and scopes are lost."""
    for table in NEW_TABLES:
        op.drop_table(table)
    op.drop_index("ix_repo_visibility_namespace_name", "repo")
    op.drop_index("ix_audit_user_id", "audit")
    op.drop_index("ix_audit_namespace_id", "audit")
    # Not in a batch: on SQLite that drops and makes the table anew, and whatever refers to its rows goes along.
    for table, columns in _new_columns().items():
        for column in columns:
            op.drop_column(table, column.name)
