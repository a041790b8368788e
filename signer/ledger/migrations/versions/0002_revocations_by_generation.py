"""Revocations are found by when they were recorded.

Revision ID: 0002
Revises: 0001
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0002"
down_revision: str | None = "0001"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.create_index(
        "certificate_by_revocation",
        "certificate",
        ["issuer_id", "revoked_generation", "series", "shard_index"],
        sqlite_where=sa.text("revoked_generation IS NOT NULL"),
        postgresql_where=sa.text("revoked_generation IS NOT NULL"),
    )
