"""What callers of the intake API send, read with the code that reads imports: items of deeds for the ledger."""

import binascii
import re
from collections.abc import Callable, Sequence
from io import BytesIO
from typing import Generic, NamedTuple, TypeVar

import msgspec

from _fastpath.page import hash32
from signer.intake.certificate import CertificateRows
from signer.intake.fields import Fields, reason_text, row_of
from signer.intake.ndjson import read_object
from signer.intake.pem import pem_file
from signer.intake.revocations import allowed_reason, fit_date, typed_serial
from signer.intake.rows import ImportRow, RowError
from signer.intake.scope import Scope
from signer.ledger.values import UNSPECIFIED, CertificateRow, Revocation

__all__ = [
    "Call",
    "CertificateBody",
    "Read",
    "ReservationBody",
    "RevocationBody",
    "issue",
    "reserve",
    "revoke",
]

ENCODED = re.compile(rb'"certificate"\s*:')

T = TypeVar("T")


class CertificateBody(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """A certificate or precertificate itself: PEM, or the base64 of its DER."""

    certificate: str


class ReservationBody(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """A serial that a certificate is going to have."""

    serial: str


class RevocationBody(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """A certificate to revoke; without `date`: now."""

    serial: str
    reason: str | int | None = None
    date: str | None = None


class Read(NamedTuple, Generic[T]):
    """One item and what is to be told of it."""

    item: T
    notes: tuple[str, ...] = ()


Call = Callable[[bytes], Read[T]]
_fields = msgspec.json.Decoder(Fields)
_certificate = msgspec.json.Decoder(CertificateBody)
_reservation = msgspec.json.Decoder(ReservationBody)
_revocation = msgspec.json.Decoder(RevocationBody)


def issue(scope: Scope, media_type: str) -> Call[CertificateRow]:
    """How one certificate is read from a body or line of that type. Raises KeyError for another."""
    certificates = CertificateRows(scope)

    def from_json(data: bytes) -> ImportRow:
        if ENCODED.search(data):
            return certificates.parse(_decoded(read_object(_certificate, data).certificate))
        return row_of(read_object(_fields, data), scope)

    def from_pem(data: bytes) -> ImportRow:
        return certificates.parse(_only_one(data))

    parse: Callable[[bytes], ImportRow] = {
        "application/json": from_json,
        "application/pkix-cert": certificates.parse,
        "application/x-pem-file": from_pem,
    }[media_type]
    return lambda data: _item(parse(data))


def reserve(data: bytes) -> Read[bytes]:
    """The serial to reserve. Raises RowError."""
    return Read(typed_serial(read_object(_reservation, data).serial))


def revoke(now: int, latest: float) -> Call[Revocation]:
    """How one revocation is read; a date between `now` and `latest` is taken as now."""

    def parse(data: bytes) -> Read[Revocation]:
        body = read_object(_revocation, data)
        reason = UNSPECIFIED if body.reason in (None, "") else allowed_reason(reason_text(body.reason))
        time, adjusted = fit_date(body.date, now, latest) if body.date else (now, "")
        return Read(Revocation(typed_serial(body.serial), time, reason), (adjusted,) if adjusted else ())

    return parse


def _item(row: ImportRow) -> Read[CertificateRow]:
    fields = (row.serial, row.not_after, row.revocation_time, row.reason, row.placement)
    notes: Sequence[str] = (row.adjusted, row.warning)
    return Read(CertificateRow(hash32(row.serial), *fields), tuple(filter(None, notes)))


def _decoded(text: str) -> bytes:
    if "-----BEGIN" in text:
        return _only_one(text.encode(errors="replace"))
    try:
        return binascii.a2b_base64(text.encode(errors="replace"), strict_mode=True)
    except ValueError as error:
        raise RowError("certificate", f"neither PEM nor the base64 of DER: {error}") from None


def _only_one(data: bytes) -> bytes:
    found = [one for _, one in pem_file(BytesIO(data))]
    for one in found:
        if isinstance(one, RowError):
            raise one
    if len(found) != 1:
        raise RowError("certificate", f"{len(found)} certificates in PEM; send one")
    (der,) = found
    assert isinstance(der, bytes)
    return der
