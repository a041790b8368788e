"""What conformance.md asks of a CRL, of a whole set of shards, and of the two views together.

As in `assertions`: asn1crypto reads the octets that were served, cryptography verifies.
"""

import calendar
import hashlib
import re
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from asn1crypto import crl as asn1
from cryptography import x509

from tests.conformance.assertions import Expected, OcspAnswer, absent, http_date
from tests.conformance.assertions import seconds as generalized
from tests.conformance.signatures import SHA1_SIGNATURES, name_octets, verifies

__all__ = [
    "CrlAnswer",
    "agreement_findings",
    "crl_findings",
    "crl_http_findings",
    "entry_findings",
    "set_findings",
]

DAY = 86_400
UTC_TIME = re.compile(rb"\d{12}Z")
GENERALIZED_TIME = re.compile(rb"\d{14}Z")
AKI, NUMBER, IDP, REASON_CODE = "2.5.29.35", "2.5.29.20", "2.5.29.28", "2.5.29.21"
REASONS = {1, 3, 4, 5, 9}
CRITICAL = {AKI: False, NUMBER: False, IDP: True}
MAX_SIZE = 9_999_999
MAX_AGE = 14_400


class CrlAnswer:
    """One CRL as fetched from `url` at `now`, and the CA that should have signed it. Raises ValueError."""

    def __init__(self, body: bytes, url: str, issuer: x509.Certificate, now: int) -> None:
        self.body, self.url, self.issuer, self.now = body, url, issuer, now
        self.crl = asn1.CertificateList.load(body, strict=True)
        self.list = self.crl["tbs_cert_list"]
        self.algorithm: bytes = self.crl["signature_algorithm"].dump()
        revoked = self.list["revoked_certificates"]
        self.entries: list[Any] = [] if absent(revoked) else list(revoked)
        self.extensions: dict[str, Any] = {one["extn_id"].dotted: one for one in self.list["crl_extensions"]}

    @property
    def this_update(self) -> int:
        return seconds(self.list["this_update"].chosen)

    @property
    def next_update(self) -> int:
        return seconds(self.list["next_update"].chosen)

    @property
    def serials(self) -> list[int]:
        return [int(entry["user_certificate"].native) for entry in self.entries]

    def entry(self, serial: int) -> Any:
        return next(one for one in self.entries if int(one["user_certificate"].native) == serial)


def seconds(field: Any) -> int:
    """A UTCTime (RFC 5280 section 4.1.2.5.1: 50 is 1950) or GeneralizedTime by its octets."""
    text = field.contents.decode("ascii")
    if field.tag == 23:
        text = ("20" if text < "50" else "19") + text
    return calendar.timegm(time.strptime(text, "%Y%m%d%H%M%SZ"))


def reason_of(entry: Any) -> int:
    """0 where it is not given."""
    for extension in _entry_extensions(entry):
        if extension["extn_id"].dotted == REASON_CODE:
            return int.from_bytes(bytes(extension["extn_value"])[2:])
    return 0


def _entry_extensions(entry: Any) -> list[Any]:
    found = entry["crl_entry_extensions"]
    return [] if absent(found) else list(found)


def version_and_der(answer: CrlAnswer) -> Iterator[str]:
    if answer.list["version"].contents != b"\x01":
        yield "not version v2"
    if asn1.CertificateList.load(answer.body).dump(force=True) != answer.body:
        yield "encoded again it is another octet string"


def issuer_name(answer: CrlAnswer) -> Iterator[str]:
    if answer.list["issuer"].dump() != name_octets(answer.issuer):
        yield "issuer is not the CA's subject"


def one_algorithm(answer: CrlAnswer) -> Iterator[str]:
    if answer.list["signature"].dump() != answer.algorithm:
        yield "signatureAlgorithm differs from tbsCertList.signature"


def time_format(answer: CrlAnswer) -> Iterator[str]:
    for name in ("this_update", "next_update"):
        field = answer.list[name]
        if absent(field):
            yield f"no {name}"
            continue
        utc = seconds(field.chosen) < 2_524_608_000  # 2050
        right = UTC_TIME if utc else GENERALIZED_TIME
        if field.chosen.tag != (23 if utc else 24) or not right.fullmatch(field.chosen.contents):
            yield f"{name} {field.chosen.contents!r}"


def validity(answer: CrlAnswer) -> Iterator[str]:
    if not answer.this_update <= answer.now < answer.next_update:
        yield f"from {answer.this_update} to {answer.next_update}, fetched at {answer.now}"
    if answer.next_update - answer.this_update > 10 * DAY - 1:
        yield f"valid for {answer.next_update - answer.this_update} s"


def extension_inventory(answer: CrlAnswer) -> Iterator[str]:
    found = {oid: bool(one["critical"].native) for oid, one in answer.extensions.items()}
    if found != CRITICAL:
        yield f"extensions (critical) {found}"
    if AKI in answer.extensions:
        value = answer.extensions[AKI]["extn_value"].parsed
        known = answer.issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
        if value["key_identifier"].native != known or not absent(value["authority_cert_serial_number"]):
            yield "authorityKeyIdentifier is not the CA's subjectKeyIdentifier alone"


def number_range(answer: CrlAnswer) -> Iterator[str]:
    if NUMBER in answer.extensions:
        number = answer.extensions[NUMBER]["extn_value"].parsed.native
        if not 0 <= number < 1 << 159:
            yield f"cRLNumber {number}"


def distribution_point(answer: CrlAnswer) -> Iterator[str]:
    """C-09 to C-11: one URL, the one it was fetched from, and onlyContainsUserCerts; nothing else."""
    if IDP not in answer.extensions:
        yield "no IssuingDistributionPoint"
        return
    value = bytes(answer.extensions[IDP]["extn_value"])
    if value != _idp(answer.url.encode()):
        yield f"IssuingDistributionPoint {value.hex()}"


def _idp(url: bytes) -> bytes:
    """[0] { [0] { [6] url } } and [1] TRUE."""
    assert len(url) < 116, "the lengths below are of one octet"
    name = bytes([0x86, len(url)]) + url
    full = bytes([0xA0, len(name)]) + name
    point = bytes([0xA0, len(full)]) + full + b"\x81\x01\xff"
    return bytes([0x30, len(point)]) + point


def absent_when_empty(answer: CrlAnswer) -> Iterator[str]:
    if not answer.entries and not absent(answer.list["revoked_certificates"]):
        yield "revokedCertificates is there and empty"


def serials_once_and_minimal(answer: CrlAnswer) -> Iterator[str]:
    for serial, times in Counter(answer.serials).items():
        if times > 1 or serial <= 0:
            yield f"serial {serial:x} {times} times"
    for entry in answer.entries:
        octets = entry["user_certificate"].contents
        if len(octets) > 1 and octets[0] == 0 and octets[1] < 0x80:
            yield f"serial {octets.hex()} is not minimal"


def entry_reasons(answer: CrlAnswer) -> Iterator[str]:
    for entry in answer.entries:
        for extension in _entry_extensions(entry):
            value = bytes(extension["extn_value"])
            known = extension["extn_id"].dotted == REASON_CODE and not extension["critical"].native
            if not known or value[:2] != b"\x0a\x01" or value[2] not in REASONS:
                yield f"entry extension {extension['extn_id'].dotted} {value.hex()}"


def revocation_dates(answer: CrlAnswer) -> Iterator[str]:
    for entry in answer.entries:
        if seconds(entry["revocation_date"].chosen) > answer.this_update:
            yield f"serial {entry['user_certificate'].native:x} is revoked after thisUpdate"


def size(answer: CrlAnswer) -> Iterator[str]:
    if len(answer.body) > MAX_SIZE:
        yield f"{len(answer.body)} octets"


def no_sha1_signature(answer: CrlAnswer) -> Iterator[str]:
    oid = answer.crl["signature_algorithm"]["algorithm"].dotted
    if oid in SHA1_SIGNATURES:
        yield f"signed with {oid}"


def signature_holds(answer: CrlAnswer) -> Iterator[str]:
    yield from verifies(answer.issuer, answer.algorithm, bytes(answer.crl["signature"]), answer.list.dump())


Check = Callable[[CrlAnswer], Iterator[str]]
CRL_CHECKS: tuple[tuple[str, Check], ...] = (
    ("C-01", version_and_der),
    ("C-02", issuer_name),
    ("C-03", one_algorithm),
    ("C-05", time_format),
    ("C-06", validity),
    ("C-07", extension_inventory),
    ("C-08", number_range),
    ("C-09", distribution_point),
    ("C-13", absent_when_empty),
    ("C-14", serials_once_and_minimal),
    ("C-15", entry_reasons),
    ("C-17", revocation_dates),
    ("P-03", size),
    ("A-02", no_sha1_signature),
    ("A-01", signature_holds),
)


def crl_findings(answer: CrlAnswer) -> list[str]:
    """Everything that is wrong with one CRL."""
    return [f"{row}: {message}" for row, check in CRL_CHECKS for message in check(answer)]


def set_findings(
    shards: Iterable[tuple[int, list[int]]], revoked: Iterable[int], count: int
) -> Iterator[str]:
    """C-19: shards, by index with their serials, are together the revoked ones, each where its hash says."""
    seen: Counter[int] = Counter()
    for index, serials in shards:
        seen.update(serials)
        for serial in serials:
            if shard_of(serial, count) != index:
                yield f"C-19: serial {serial:x} in shard {index}"
    expected = set(revoked)
    for serial in expected ^ seen.keys():
        yield f"C-19: serial {serial:x} is {'missing' if serial in expected else 'not revoked'}"
    for serial, times in seen.items():
        if times > 1:
            yield f"C-19: serial {serial:x} {times} times"


def shard_of(serial: int, count: int) -> int:
    """First four octets of SHA-256 over the minimal serial, modulo the count (architecture section 7)."""
    octets = serial.to_bytes(max(1, (serial.bit_length() + 7) // 8))
    return int.from_bytes(hashlib.sha256(octets).digest()[:4]) % count


def agreement_findings(answer: OcspAnswer, entry: Any) -> Iterator[str]:
    """R-21: the response and the CRL entry of one certificate give one time and one reason."""
    said, serial = answer.revoked, answer.expected.serial
    if said is None:
        yield f"R-21: serial {serial:x} is on a CRL and not answered as revoked"
        return
    given = said["revocation_reason"]
    by_ocsp = (generalized(said["revocation_time"]), 0 if absent(given) else int.from_bytes(given.contents))
    by_crl = (seconds(entry["revocation_date"].chosen), reason_of(entry))
    if by_ocsp != by_crl:
        yield f"R-21: serial {serial:x}: OCSP says {by_ocsp}, the CRL {by_crl}"


def entry_findings(entry: Any, expected: Expected) -> Iterator[str]:
    """An entry gives the time and reason that the CA knows."""
    found = (seconds(entry["revocation_date"].chosen), reason_of(entry))
    if found != (expected.revocation_time, expected.reason):
        yield f"C-17: serial {expected.serial:x}: {found}, expected {expected}"


def crl_http_findings(answer: CrlAnswer, headers: Mapping[str, str]) -> Iterator[str]:
    """U-05, U-07 on the header fields of a 200, by lower-case name."""
    needed = {"content-type", "content-length", "last-modified", "etag", "expires", "cache-control", "date"}
    if needed - headers.keys():
        yield f"U-07: no {', '.join(sorted(needed - headers.keys()))}"
        return
    if headers["content-type"] != "application/pkix-crl" or int(headers["content-length"]) != len(
        answer.body
    ):
        yield f"U-07: Content-Type {headers['content-type']}, Content-Length {headers['content-length']}"
    if http_date(headers["last-modified"]) != answer.this_update:
        yield f"U-07: Last-Modified {headers['last-modified']}"
    if not re.fullmatch(r'"[!#-~]+"', headers["etag"]):
        yield f"U-07: ETag {headers['etag']}"
    if http_date(headers["expires"]) > answer.next_update:
        yield f"U-07: Expires {headers['expires']}"
    age = re.fullmatch(r"public, max-age=(\d+), no-transform", headers["cache-control"])
    left = answer.next_update - http_date(headers["date"])
    if age is None or int(age[1]) > min(MAX_AGE, left):
        yield f"U-07: Cache-Control {headers['cache-control']}, {left} s left"
