"""CRLs put together from their parts, each of which a test may spoil; signed anew, so that nothing else is wrong."""

import dataclasses
from dataclasses import dataclass

from _fastpath.crl import encode_issuing_distribution_point
from _fastpath.der import encode, encode_time, encode_unsigned
from signer.crl.build import CrlSigner, subject_key_identifier
from store.model import subject_name
from tests.signer.crl_authority import NOW, URL, make_authority

__all__ = ["AUTHORITY", "Parts", "entry", "extension", "forge", "reason", "right"]

AUTHORITY = make_authority()
TRUE = encode(0x01, b"\xff")
SEQUENCE = 0x30


@dataclass(frozen=True)
class Parts:
    """DER of each field of a TBSCertList, in order; empty for one that is left out."""

    version: bytes
    signature: bytes
    issuer: bytes
    this_update: bytes
    next_update: bytes
    entries: tuple[bytes, ...]
    key_identifier: bytes
    number: bytes
    distribution_point: bytes
    more: bytes = b""  # further extensions
    signature_algorithm: bytes = b""  # empty: as `signature`
    trailing: bytes = b""


def extension(oid: int, value: bytes, *, critical: bool = False) -> bytes:
    """id-ce `oid` with the DER `value`."""
    parts = encode(0x06, bytes([0x55, 0x1D, oid])) + (TRUE if critical else b"") + encode(0x04, value)
    return encode(SEQUENCE, parts)


def reason(code: int, *, critical: bool = False) -> bytes:
    """crlEntryExtensions with a reasonCode."""
    return encode(SEQUENCE, extension(21, encode(0x0A, bytes([code])), critical=critical))


def entry(serial: bytes, extensions: bytes = b"", *, at: int = NOW - 1000) -> bytes:
    return encode(SEQUENCE, encode_unsigned(serial) + encode_time(at, False) + extensions)


def right(
    *serials: bytes,
    number: int = 1,
    url: str | None = URL,
    this_update: int = NOW - 60,
    validity: int = 604_799,
    signer: CrlSigner = AUTHORITY,
) -> Parts:
    """The parts of a CRL without a fault; without a URL it is a full one."""
    value = url and encode_issuing_distribution_point(
        url, only_contains_user_certs=True, only_contains_ca_certs=False
    )
    return Parts(
        version=encode(0x02, b"\x01"),
        signature=signer.key.signature_algorithm,
        issuer=subject_name(signer.certificate),
        this_update=encode_time(this_update, False),
        next_update=encode_time(this_update + validity, False),
        entries=tuple(map(entry, serials)),
        key_identifier=extension(
            35, encode(SEQUENCE, encode(0x80, subject_key_identifier(signer.certificate)))
        ),
        number=extension(20, encode_unsigned(number.to_bytes(20).lstrip(b"\0") or b"\0")),
        distribution_point=extension(28, value, critical=True) if value else b"",
    )


def forge(parts: Parts, signer: CrlSigner = AUTHORITY, **changes: object) -> bytes:
    """DER of the CRL of these parts, with changes to them, under the key of `signer`."""
    parts = dataclasses.replace(parts, **changes)  # type: ignore[arg-type]  # mypy cannot see which fields
    extensions = parts.key_identifier + parts.number + parts.distribution_point + parts.more
    fields = (
        *(parts.version, parts.signature, parts.issuer, parts.this_update, parts.next_update),
        encode(SEQUENCE, b"".join(parts.entries)) if parts.entries else b"",
        encode(0xA0, encode(SEQUENCE, extensions)) if extensions else b"",
    )
    tbs = encode(SEQUENCE, b"".join(fields))
    algorithm = parts.signature_algorithm or parts.signature
    signature = encode(0x03, b"\0" + signer.key.sign_der(tbs))
    return encode(SEQUENCE, tbs + algorithm + signature) + parts.trailing
