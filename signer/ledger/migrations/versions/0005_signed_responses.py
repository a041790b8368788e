"""Responses that an offline CA signed.

Revision ID: 0005
Revises: 0004
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0005"
down_revision: str | None = "0004"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.create_table(
        "signed_response",
        sa.Column("issuer_id", sa.Integer, primary_key=True),
        sa.Column("hash32", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("serial", sa.LargeBinary, primary_key=True),
        sa.Column("hash_algorithm", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("this_update", sa.BigInteger, nullable=False),
        sa.Column("next_update", sa.BigInteger, nullable=False),
        sa.Column("revoked", sa.Boolean, nullable=False),
        sa.Column("imported_at", sa.BigInteger, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.ForeignKeyConstraint(
            ["issuer_id", "hash32", "serial"],
            ["certificate.issuer_id", "certificate.hash32", "certificate.serial"],
        ),
        sqlite_with_rowid=False,
    )
