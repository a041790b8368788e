"""A second layout of an issuer's pages, beside the one in force.

Revision ID: 0004
Revises: 0003
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0004"
down_revision: str | None = "0003"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.create_table(
        "repaging",
        sa.Column("issuer_id", sa.Integer, sa.ForeignKey("issuer.id"), primary_key=True),
        sa.Column("page_epoch", sa.Integer, nullable=False),
        sa.Column("page_bits", sa.Integer, nullable=False),
    )
