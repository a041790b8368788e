"""The first schema of the ledger.

Revision ID: 0001
Revises:
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0001"
down_revision: str | None = None
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    _issuers()
    _certificates()
    _changes()
    _publications()
    _signing()
    _journal()


def _issuers() -> None:
    op.create_table(
        "issuer",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("name", sa.String(63), nullable=False, unique=True),
        sa.Column("certificate", sa.LargeBinary, nullable=False),
        sa.Column("fingerprint", sa.LargeBinary, nullable=False),
        sa.Column("page_bits", sa.Integer, nullable=False),
        sa.Column("page_epoch", sa.Integer, nullable=False),
        sa.Column("generation", sa.BigInteger, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "crl_series",
        sa.Column("issuer_id", sa.Integer, sa.ForeignKey("issuer.id"), primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("url_pattern", sa.Text, nullable=False),
        sa.Column("shard_count", sa.Integer, nullable=False),
        sa.Column("opened_at", sa.BigInteger, nullable=False),
    )


def _certificates() -> None:
    op.create_table(
        "certificate",
        sa.Column("issuer_id", sa.Integer, primary_key=True),
        sa.Column("hash32", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("serial", sa.LargeBinary, primary_key=True),
        sa.Column("not_after", sa.BigInteger, nullable=False),
        sa.Column("series", sa.Integer, nullable=False),
        sa.Column("shard_index", sa.Integer, nullable=False),
        sa.Column("placed_by", sa.String(11), nullable=False),
        sa.Column("revocation_time", sa.BigInteger),
        sa.Column("reason", sa.Integer, nullable=False),
        sa.Column("revoked_generation", sa.BigInteger),
        sa.Column("issued_generation", sa.BigInteger, nullable=False),
        sa.ForeignKeyConstraint(["issuer_id", "series"], ["crl_series.issuer_id", "crl_series.number"]),
        sa.CheckConstraint("reason IN (0, 1, 3, 4, 5, 9)", name="certificate_reason_allowed"),
        sa.CheckConstraint(
            "(revocation_time IS NULL) = (revoked_generation IS NULL)", name="certificate_revocation_whole"
        ),
        sqlite_with_rowid=False,
    )
    op.create_index(
        "certificate_by_shard",
        "certificate",
        [
            "issuer_id",
            "series",
            "shard_index",
            "serial",
            "revocation_time",
            "reason",
            "not_after",
            "revoked_generation",
        ],
        sqlite_where=sa.text("revocation_time IS NOT NULL"),
        postgresql_where=sa.text("revocation_time IS NOT NULL"),
    )


def _changes() -> None:
    op.create_table(
        "change",
        sa.Column("issuer_id", sa.Integer, sa.ForeignKey("issuer.id"), primary_key=True),
        sa.Column("generation", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("kind", sa.String(6), nullable=False),
        sa.Column("first_hash32", sa.BigInteger, nullable=False),
        sa.Column("last_hash32", sa.BigInteger, nullable=False),
        sa.Column("serial", sa.LargeBinary),
        sa.Column("recorded_at", sa.BigInteger, nullable=False),
        sqlite_with_rowid=False,
    )


def _publications() -> None:
    op.create_table(
        "crl_publication",
        sa.Column("issuer_id", sa.Integer, primary_key=True),
        sa.Column("series", sa.Integer, primary_key=True),
        sa.Column("shard_index", sa.Integer, primary_key=True),
        sa.Column("crl_number", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("this_update", sa.BigInteger, nullable=False),
        sa.Column("next_update", sa.BigInteger, nullable=False),
        sa.Column("generation", sa.BigInteger, nullable=False),
        sa.Column("entries", sa.Integer, nullable=False),
        sa.Column("size", sa.Integer, nullable=False),
        sa.Column("sha256", sa.LargeBinary, nullable=False),
        sa.Column("published_at", sa.BigInteger, nullable=False),
        sa.ForeignKeyConstraint(["issuer_id", "series"], ["crl_series.issuer_id", "crl_series.number"]),
    )
    op.create_table(
        "crl_number",
        sa.Column("issuer_id", sa.Integer, primary_key=True),
        sa.Column("series", sa.Integer, primary_key=True),
        sa.Column("shard_index", sa.Integer, primary_key=True),
        sa.Column("reserved", sa.BigInteger, nullable=False),
        sa.ForeignKeyConstraint(["issuer_id", "series"], ["crl_series.issuer_id", "crl_series.number"]),
    )


def _signing() -> None:
    op.create_table(
        "template",
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("issuer_id", sa.Integer, sa.ForeignKey("issuer.id"), nullable=False),
        sa.Column("slot", sa.Integer, nullable=False),
        sa.Column("content", sa.LargeBinary, nullable=False),
        sa.UniqueConstraint("issuer_id", "slot", name="template_slot"),
        sa.UniqueConstraint("issuer_id", "content", name="template_content"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "tail",
        sa.Column("issuer_id", sa.Integer, sa.ForeignKey("issuer.id"), primary_key=True),
        sa.Column("generation", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "checkpoint",
        sa.Column("issuer_id", sa.Integer, sa.ForeignKey("issuer.id"), primary_key=True),
        sa.Column("cycle_start", sa.BigInteger, nullable=False),
        sa.Column("next_page", sa.BigInteger, nullable=False),
    )


def _journal() -> None:
    op.create_table(
        "journal",
        sa.Column("seq", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("recorded_at", sa.BigInteger, nullable=False),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("event", sa.Text, nullable=False),
        sa.Column("detail", sa.Text, nullable=False),
        sa.Column("previous_hash", sa.LargeBinary, nullable=False),
        sa.Column("entry_hash", sa.LargeBinary, nullable=False),
    )
    if op.get_bind().dialect.name == "sqlite":
        for verb in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER journal_no_{verb.lower()} BEFORE {verb} ON journal "
                "BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END"
            )
