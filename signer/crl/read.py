"""Reading CRLs that somebody else may have made: field by field and octet for octet, as far as they can be read.

The strict second reader takes a CRL of this project's profile or refuses it; here a fault in one field leaves the
others to be looked at, so that each can be named.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from cryptography import x509

from _fastpath import der
from _fastpath.crl_reader import Crl
from _fastpath.errors import MalformedDer
from signer.crl.build import CrlEntry
from store.errors import UsageError
from store.model import REASON_NUMBERS, UNREADABLE

__all__ = [
    "CRL_NUMBER",
    "IDP",
    "KEY_IDENTIFIER",
    "NUMBER_SIZE",
    "Extension",
    "ReadCrl",
    "read_crl",
    "read_file",
]

KEY_IDENTIFIER, CRL_NUMBER, IDP = b"\x55\x1d\x23", b"\x55\x1d\x14", b"\x55\x1d\x1c"  # content of the OID
INTEGER, BOOLEAN, SEQUENCE, UTC_TIME, GENERALIZED_TIME = 0x02, 0x01, 0x30, 0x17, 0x18
EXPLICIT_0, CONTEXT_0, CONTEXT_1, CONTEXT_2, URI = 0xA0, 0x80, 0x81, 0x82, 0x86
TIMES = frozenset({UTC_TIME, GENERALIZED_TIME})
TRUE = b"\xff"
MOST_VALUES = 256  # of a SEQUENCE that is no list of entries: each is read by copying what follows it
FILE_SIZE = 256 << 20  # octets; some files have no end
NUMBER_SIZE = 1024  # octets of a cRLNumber; one of more cannot even be printed


@dataclass(frozen=True, slots=True)
class Value:
    """One DER value: its tag, its content, and both with the length, as they stand in the CRL."""

    tag: int
    content: bytes
    encoded: bytes


@dataclass(frozen=True, slots=True)
class Extension:
    """One extension of the list: OID (content octets), criticality, content of extnValue."""

    oid: bytes
    critical: bool
    value: bytes


@dataclass(frozen=True)
class ReadCrl:
    """The fields of one CRL. Names are those of RFC 5280 section 5.1."""

    data: bytes
    tbs_cert_list: bytes
    version: bytes | None  # content of the INTEGER
    signature: bytes  # AlgorithmIdentifier within
    signature_algorithm: bytes  # and without
    signature_value: bytes
    issuer: bytes
    this_update: Value
    next_update: Value | None
    has_empty_list: bool  # revokedCertificates is there and has no entry
    extensions: tuple[Extension, ...]

    @cached_property
    def strict(self) -> Crl | MalformedDer:
        """As the second reader has it, or what it refuses it for."""
        try:
            return Crl(self.data)
        except MalformedDer as error:
            return error

    @cached_property
    def parsed(self) -> x509.CertificateRevocationList | ValueError:
        """As cryptography has it, or why it has not."""
        try:
            parsed = x509.load_der_x509_crl(self.data)
            len(parsed)  # reads the entries
            # Read when they are asked for.
            _ = parsed.issuer
            if not isinstance(self.strict, Crl):
                for entry in parsed:
                    _ = entry.revocation_date_utc
        except UNREADABLE as error:
            return ValueError(str(error))
        return parsed

    @cached_property
    def sha256(self) -> bytes:
        """Over all of it."""
        return hashlib.sha256(self.data).digest()

    def extension(self, oid: bytes) -> Extension | None:
        """The first extension of that kind."""
        return next((found for found in self.extensions if found.oid == oid), None)

    @property
    def this_update_seconds(self) -> int | None:
        """Since 1970; None if it cannot be read."""
        return _seconds(self.this_update)

    @property
    def next_update_seconds(self) -> int | None:
        """Since 1970; None if it is absent or cannot be read."""
        return None if self.next_update is None else _seconds(self.next_update)

    @property
    def crl_number(self) -> int | None:
        """None if it is absent, or no INTEGER of `NUMBER_SIZE`; it may be negative or too long here."""
        found = self.extension(CRL_NUMBER)
        value = None if found is None else _only(found.value)
        if value is None or value.tag != INTEGER or not 0 < len(value.content) <= NUMBER_SIZE:
            return None
        return int.from_bytes(value.content, "big", signed=True)

    @property
    def key_identifier(self) -> bytes | None:
        """Of the authorityKeyIdentifier; None if it is absent or says anything else."""
        found = self.extension(KEY_IDENTIFIER)
        fields = None if found is None else _fields_of(found.value)
        return fields[0].content if fields and len(fields) == 1 and fields[0].tag == CONTEXT_0 else None

    @property
    def point(self) -> list[Value] | None:
        """Fields of the issuingDistributionPoint; None if it is absent or no SEQUENCE."""
        found = self.extension(IDP)
        return None if found is None else _fields_of(found.value)

    @property
    def urls(self) -> list[str]:
        """What the distribution point is named: URIs, and `tag N` for anything else."""
        names = [name for field in self.point or () if field.tag == EXPLICIT_0 for name in _names(field)]
        # Latin-1 shows any octet: a URL that is not ASCII then differs from the one expected.
        return [name.content.decode("latin-1") if name.tag == URI else f"tag {name.tag:#x}" for name in names]

    @property
    def only_ca_certificates(self) -> bool:
        """onlyContainsCACerts is TRUE."""
        return any((field.tag, field.content) == (CONTEXT_2, TRUE) for field in self.point or ())

    def entries(self) -> Iterator[CrlEntry]:
        """Serial, revocation time and reason of each entry; none where neither reader can tell them."""
        if isinstance(self.strict, Crl):
            yield from self.strict
        elif not isinstance(self.parsed, ValueError):
            for entry in self.parsed:
                yield _octets(entry.serial_number), int(entry.revocation_date_utc.timestamp()), _reason(entry)


def read_crl(data: bytes) -> ReadCrl:
    """The fields of a CRL in DER, all of it. Raises MalformedDer, naming the field that ends the reading."""
    fields = _values(_whole(data), "CertificateList")
    if len(fields) != 3 or fields[0].tag != SEQUENCE:
        raise MalformedDer("CertificateList: not tbsCertList, signatureAlgorithm and signatureValue")
    listed = _values(fields[0].content, "tbsCertList")
    version = listed.pop(0).content if listed and listed[0].tag == INTEGER else None
    if len(listed) < 3 or listed[2].tag not in TIMES:
        raise MalformedDer("tbsCertList: not signature, issuer and thisUpdate")
    signature, issuer, this_update, *rest = listed
    next_update = rest.pop(0) if rest and rest[0].tag in TIMES else None
    revoked = rest.pop(0) if rest and rest[0].tag == SEQUENCE else None
    explicit = rest.pop(0) if rest and rest[0].tag == EXPLICIT_0 else None
    if rest:
        raise MalformedDer(f"tbsCertList: tag {rest[0].tag:#x} is out of place")
    return ReadCrl(
        data,
        fields[0].encoded,
        version,
        signature.encoded,
        fields[1].encoded,
        fields[2].content[1:],
        issuer.encoded,
        this_update,
        next_update,
        revoked is not None and not revoked.content,
        _extensions(explicit.content) if explicit else (),
    )


def read_file(path: Path) -> bytes:
    """The octets of a file that is said to be a CRL, or a list of them. Raises UsageError."""
    try:
        with path.open("rb") as file:
            data = file.read(FILE_SIZE + 1)
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}", remedy="check the path") from None
    if len(data) > FILE_SIZE:
        raise UsageError(f"{path}: more than {FILE_SIZE} octets", remedy="check what the file is")
    return data


def _whole(data: bytes) -> bytes:
    """Content of the one value that `data` is."""
    if data.startswith(b"-----BEGIN"):
        raise MalformedDer("CertificateList: PEM, not DER")
    try:
        tag, content, rest = der.read(data)
    except MalformedDer as error:
        raise MalformedDer(f"CertificateList: {error}") from None
    if tag != SEQUENCE:
        raise MalformedDer(f"CertificateList: tag {tag:#x}, not a SEQUENCE")
    if rest:
        raise MalformedDer(f"CertificateList: {len(rest)} octets follow it")
    return content


def _values(content: bytes, what: str) -> list[Value]:
    values: list[Value] = []
    while content:
        if len(values) == MOST_VALUES:
            raise MalformedDer(f"{what}: more than {MOST_VALUES} fields")
        try:
            tag, inner, rest = der.read(content)
        except MalformedDer as error:
            raise MalformedDer(f"{what}, field {len(values)}: {error}") from None
        values.append(Value(tag, inner, content[: len(content) - len(rest)]))
        content = rest
    return values


def _extensions(explicit: bytes) -> tuple[Extension, ...]:
    lists = _values(explicit, "crlExtensions")
    if len(lists) != 1 or lists[0].tag != SEQUENCE:
        raise MalformedDer("crlExtensions: not one SEQUENCE")
    return tuple(_extension(value) for value in _values(lists[0].content, "crlExtensions"))


def _extension(value: Value) -> Extension:
    fields = _values(value.content, "crlExtensions")
    critical = len(fields) == 3 and fields[1].tag == BOOLEAN and fields[1].content == TRUE
    if len(fields) not in (2, 3):
        raise MalformedDer("crlExtensions: an extension is not extnID, critical and extnValue")
    return Extension(fields[0].content, critical, fields[-1].content)


def _only(data: bytes) -> Value | None:
    try:
        values = _values(data, "")
    except MalformedDer:
        return None
    return values[0] if len(values) == 1 else None


def _fields_of(data: bytes) -> list[Value] | None:
    """What the SEQUENCE `data` consists of."""
    value = _only(data)
    if value is None or value.tag != SEQUENCE:
        return None
    try:
        return _values(value.content, "")
    except MalformedDer:
        return None


def _names(point: Value) -> list[Value]:
    """GeneralNames of a DistributionPointName that is a fullName; of another choice, that choice."""
    try:
        choice = _values(point.content, "")
        return [
            name
            for full in choice
            for name in (_values(full.content, "") if full.tag == EXPLICIT_0 else [full])
        ]
    except MalformedDer:
        return []


def _seconds(value: Value) -> int | None:
    try:
        return der.read_time(value.encoded)
    except MalformedDer:
        return None


def _octets(serial: int) -> bytes:
    """As the second reader gives serials; a negative one in two's complement."""
    return serial.to_bytes(max(1, (serial.bit_length() + 7 + (serial < 0)) // 8), "big", signed=serial < 0)


def _reason(entry: x509.RevokedCertificate) -> int:
    """Its number; 0 if there is none or it cannot be read."""
    try:
        reason = entry.extensions.get_extension_for_class(x509.CRLReason).value.reason
    except (x509.ExtensionNotFound, *UNREADABLE):
        return 0
    return REASON_NUMBERS[reason]
