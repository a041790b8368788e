"""Tables of the ledger, the durable record of who was issued, who was revoked and which CRLs were published."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

__all__ = [
    "EPOCH_SHIFT",
    "REVISION",
    "certificate",
    "change",
    "checkpoint",
    "crl_number",
    "crl_publication",
    "crl_series",
    "issuer",
    "journal",
    "metadata",
    "repaging",
    "reservation",
    "signed_response",
    "tail",
    "template",
]

EPOCH_SHIFT = 48  # a generation is epoch << 48 | counter; restoring a backup raises the epoch

REVISION = "0005"  # of the migrations, the one that makes these tables

metadata = MetaData()


def _in_series() -> ForeignKeyConstraint:
    """`series` is a number of the issuer's CRL series."""
    return ForeignKeyConstraint(["issuer_id", "series"], ["crl_series.issuer_id", "crl_series.number"])


issuer = Table(
    "issuer",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", String(63), nullable=False, unique=True),
    Column("certificate", LargeBinary, nullable=False),
    Column("fingerprint", LargeBinary, nullable=False),
    Column("page_bits", Integer, nullable=False),
    Column("page_epoch", Integer, nullable=False),
    Column("generation", BigInteger, nullable=False),
    Column("created_at", BigInteger, nullable=False),
)

crl_series = Table(
    "crl_series",
    metadata,
    Column("issuer_id", ForeignKey("issuer.id"), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("url_pattern", Text, nullable=False),
    Column("shard_count", Integer, nullable=False),
    Column("opened_at", BigInteger, nullable=False),
)

# Clustered by (issuer, hash32, serial): a page is one contiguous range (SQLite WITHOUT ROWID).
certificate = Table(
    "certificate",
    metadata,
    Column("issuer_id", Integer, primary_key=True),
    Column("hash32", BigInteger, primary_key=True, autoincrement=False),
    Column("serial", LargeBinary, primary_key=True),
    Column("not_after", BigInteger, nullable=False),
    Column("series", Integer, nullable=False),
    Column("shard_index", Integer, nullable=False),
    Column("placed_by", String(11), nullable=False),
    Column("revocation_time", BigInteger),
    Column("reason", Integer, nullable=False),
    Column("revoked_generation", BigInteger),
    Column("issued_generation", BigInteger, nullable=False),
    _in_series(),
    CheckConstraint("reason IN (0, 1, 3, 4, 5, 9)", name="certificate_reason_allowed"),
    CheckConstraint(
        "(revocation_time IS NULL) = (revoked_generation IS NULL)", name="certificate_revocation_whole"
    ),
    sqlite_with_rowid=False,
)

# Everything a CRL build reads, in the order in which it writes.
Index(
    "certificate_by_shard",
    certificate.c.issuer_id,
    certificate.c.series,
    certificate.c.shard_index,
    certificate.c.serial,
    certificate.c.revocation_time,
    certificate.c.reason,
    certificate.c.not_after,
    certificate.c.revoked_generation,
    sqlite_where=text("revocation_time IS NOT NULL"),
)

# Which CRLs lack a revocation that was recorded since.
Index(
    "certificate_by_revocation",
    certificate.c.issuer_id,
    certificate.c.revoked_generation,
    certificate.c.series,
    certificate.c.shard_index,
    sqlite_where=text("revoked_generation IS NOT NULL"),
)

# Serials whose shard was told to the CA before their certificates are signed; gone once these are recorded.
reservation = Table(
    "reservation",
    metadata,
    Column("issuer_id", Integer, primary_key=True),
    Column("serial", LargeBinary, primary_key=True),
    Column("series", Integer, nullable=False),
    Column("shard_index", Integer, nullable=False),
    Column("reserved_at", BigInteger, nullable=False),
    _in_series(),
    sqlite_with_rowid=False,
)

change = Table(
    "change",
    metadata,
    Column("issuer_id", ForeignKey("issuer.id"), primary_key=True),
    Column("generation", BigInteger, primary_key=True, autoincrement=False),
    Column("kind", String(6), nullable=False),
    Column("first_hash32", BigInteger, nullable=False),
    Column("last_hash32", BigInteger, nullable=False),
    Column("serial", LargeBinary),
    Column("recorded_at", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

crl_publication = Table(
    "crl_publication",
    metadata,
    Column("issuer_id", Integer, primary_key=True),
    Column("series", Integer, primary_key=True),
    Column("shard_index", Integer, primary_key=True),
    Column("crl_number", BigInteger, primary_key=True, autoincrement=False),
    Column("this_update", BigInteger, nullable=False),
    Column("next_update", BigInteger, nullable=False),
    Column("generation", BigInteger, nullable=False),
    Column("entries", Integer, nullable=False),
    Column("size", Integer, nullable=False),
    Column("sha256", LargeBinary, nullable=False),
    Column("published_at", BigInteger, nullable=False),
    _in_series(),
)

# Highest number ever taken for a shard, committed before signing: a crash never uses a number twice (C-08).
crl_number = Table(
    "crl_number",
    metadata,
    Column("issuer_id", Integer, primary_key=True),
    Column("series", Integer, primary_key=True),
    Column("shard_index", Integer, primary_key=True),
    Column("reserved", BigInteger, nullable=False),
    _in_series(),
)

template = Table(
    "template",
    metadata,
    Column("number", Integer, primary_key=True),
    Column("issuer_id", ForeignKey("issuer.id"), nullable=False),
    Column("slot", Integer, nullable=False),
    Column("content", LargeBinary, nullable=False),
    UniqueConstraint("issuer_id", "slot", name="template_slot"),
    UniqueConstraint("issuer_id", "content", name="template_content"),
    sqlite_autoincrement=True,
)

# OCSP responses that an offline CA signed, octet for octet: one for each certificate and CertID hash algorithm.
signed_response = Table(
    "signed_response",
    metadata,
    Column("issuer_id", Integer, primary_key=True),
    Column("hash32", BigInteger, primary_key=True, autoincrement=False),
    Column("serial", LargeBinary, primary_key=True),
    Column("hash_algorithm", Integer, primary_key=True, autoincrement=False),
    Column("this_update", BigInteger, nullable=False),
    Column("next_update", BigInteger, nullable=False),
    Column("revoked", Boolean, nullable=False),
    Column("imported_at", BigInteger, nullable=False),
    Column("body", LargeBinary, nullable=False),
    ForeignKeyConstraint(
        ["issuer_id", "hash32", "serial"],
        ["certificate.issuer_id", "certificate.hash32", "certificate.serial"],
    ),
    sqlite_with_rowid=False,
)

tail = Table(
    "tail",
    metadata,
    Column("issuer_id", ForeignKey("issuer.id"), primary_key=True),
    Column("generation", BigInteger, nullable=False),
)

checkpoint = Table(
    "checkpoint",
    metadata,
    Column("issuer_id", ForeignKey("issuer.id"), primary_key=True),
    Column("cycle_start", BigInteger, nullable=False),
    Column("next_page", BigInteger, nullable=False),
)

# The other layout of an issuer's pages, while there is one: see layouts.py.
repaging = Table(
    "repaging",
    metadata,
    Column("issuer_id", ForeignKey("issuer.id"), primary_key=True),
    Column("page_epoch", Integer, nullable=False),
    Column("page_bits", Integer, nullable=False),
)

journal = Table(
    "journal",
    metadata,
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("recorded_at", BigInteger, nullable=False),
    Column("actor", Text, nullable=False),
    Column("event", Text, nullable=False),
    Column("detail", Text, nullable=False),
    Column("previous_hash", LargeBinary, nullable=False),
    Column("entry_hash", LargeBinary, nullable=False),
)
