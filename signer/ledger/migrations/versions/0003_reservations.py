"""Serials are reserved before their certificates are signed.

Revision ID: 0003
Revises: 0002
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0003"
down_revision: str | None = "0002"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.create_table(
        "reservation",
        sa.Column("issuer_id", sa.Integer, primary_key=True),
        sa.Column("serial", sa.LargeBinary, primary_key=True),
        sa.Column("series", sa.Integer, nullable=False),
        sa.Column("shard_index", sa.Integer, nullable=False),
        sa.Column("reserved_at", sa.BigInteger, nullable=False),
        sa.ForeignKeyConstraint(["issuer_id", "series"], ["crl_series.issuer_id", "crl_series.number"]),
        sqlite_with_rowid=False,
    )
