"""Issuers of the ledger and the numbers of their templates."""

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from sqlalchemy import Connection, Row, insert, select, update

from signer import journal
from signer.ledger import crls, schema
from signer.ledger.errors import LedgerError
from signer.ledger.values import CrlPlan, LedgerIssuer, StoredTemplate
from store.model import Issuer

__all__ = ["add_template", "by_id", "by_name", "ca_not_after", "ensure", "everyone", "known_id", "templates"]

FIRST_PAGE_EPOCH = 1
FIRST_LEDGER_EPOCH = 1
MAX_SLOT = 255  # one octet in a record

_c = schema.issuer.c
_columns = select(_c.id, _c.name, _c.page_bits, _c.page_epoch, _c.generation)


def everyone(connection: Connection) -> list[LedgerIssuer]:
    return [_value(row) for row in connection.execute(_columns.order_by(_c.name))]


def by_id(connection: Connection, issuer_id: int) -> LedgerIssuer:
    return _value(connection.execute(_columns.where(_c.id == issuer_id)).one())


def ca_not_after(connection: Connection, issuer_id: int) -> int:
    data = connection.execute(select(_c.certificate).where(_c.id == issuer_id)).scalar_one()
    return _not_after(x509.load_der_x509_certificate(data))


def _not_after(certificate: x509.Certificate) -> int:
    return int(certificate.not_valid_after_utc.timestamp())


def by_name(connection: Connection, name: str) -> LedgerIssuer:
    row = connection.execute(_columns.where(_c.name == name)).first()
    if row is not None:
        return _value(row)
    known = ", ".join(issuer.name for issuer in everyone(connection)) or "none yet"
    raise LedgerError(
        f"the ledger has no issuer {name!r}; it knows: {known}",
        remedy=f"`ocsp-signer import --issuer {name} ...` records its first certificates",
    )


def ensure(
    connection: Connection, issuer: Issuer, page_bits: int, plan: CrlPlan, now: int, actor: str
) -> LedgerIssuer:
    """Find or add, with every CRL series of the plan and the CA certificate that ends last (U-11)."""
    issuer_id = known_id(connection, issuer)
    if issuer_id is None:
        issuer_id = _add(connection, issuer, page_bits, now)
        detail = {"issuer": issuer.name, "page_bits": page_bits}
        journal.append(connection, now=now, actor=actor, event="issuer", detail=detail)
    elif _not_after(issuer.certificate) > ca_not_after(connection, issuer_id):
        _renew(connection, issuer_id, issuer)
        detail = {"issuer": issuer.name, "not_after": _not_after(issuer.certificate)}
        journal.append(connection, now=now, actor=actor, event="issuer renewed", detail=detail)
    for row in crls.add_series(connection, issuer_id, issuer.name, plan, now):
        detail = {
            "issuer": issuer.name,
            "series": row.number,
            "url_pattern": row.url_pattern,
            "shard_count": row.shard_count,
            "opened_at": row.opened_at,
        }
        journal.append(connection, now=now, actor=actor, event="series", detail=detail)
    return by_id(connection, issuer_id)


def _add(connection: Connection, issuer: Issuer, page_bits: int, now: int) -> int:
    statement = (
        insert(schema.issuer)
        .values(
            name=issuer.name,
            certificate=issuer.certificate.public_bytes(Encoding.DER),
            fingerprint=issuer.id.fingerprint,
            page_bits=page_bits,
            page_epoch=FIRST_PAGE_EPOCH,
            generation=FIRST_LEDGER_EPOCH << schema.EPOCH_SHIFT,
            created_at=now,
        )
        .returning(_c.id)
    )
    return int(connection.execute(statement).scalar_one())


def _renew(connection: Connection, issuer_id: int, issuer: Issuer) -> None:
    der = issuer.certificate.public_bytes(Encoding.DER)
    connection.execute(update(schema.issuer).where(_c.id == issuer_id).values(certificate=der))


def known_id(connection: Connection, issuer: Issuer) -> int | None:
    """Its id, None if it is new. Raises LedgerError if its name is another CA's.

    A renewed CA certificate has the same name and key, and so the same CertIDs; another CA has not.
    """
    row = connection.execute(select(_c.id, _c.fingerprint).where(_c.name == issuer.name)).first()
    if row is None:
        return None
    if row.fingerprint != issuer.id.fingerprint:
        raise LedgerError(
            f"issuer {issuer.name}: its CA certificate has another name or key than the one in the ledger",
            remedy="give the other CA a name of its own in ocsp.toml, or put the right `certificate` back",
        )
    return int(row.id)


def templates(connection: Connection, issuer_id: int) -> list[StoredTemplate]:
    c = schema.template.c
    statement = select(c.number, c.slot, c.content).where(c.issuer_id == issuer_id).order_by(c.slot)
    return [StoredTemplate(*row) for row in connection.execute(statement)]


def add_template(connection: Connection, issuer_id: int, content: bytes) -> StoredTemplate:
    known = templates(connection, issuer_id)
    for one in known:
        if one.content == content:
            return one
    slot = known[-1].slot + 1 if known else 0  # never given back: old records still name them
    if slot > MAX_SLOT:
        raise LedgerError(
            "all 256 template slots of this issuer are taken: it had so many responder certificates and validities",
            remedy="put back one that it had and that is still valid, which signs as before; "
            "docs/operations.md, responder certificates, says how it gets 256 more",
        )
    values = {"issuer_id": issuer_id, "slot": slot, "content": content}
    statement = insert(schema.template).values(values).returning(schema.template.c.number)
    number = connection.execute(statement).scalar_one()
    return StoredTemplate(int(number), slot, content)


def _value(row: Row[int, str, int, int, int]) -> LedgerIssuer:
    return LedgerIssuer(*row)
