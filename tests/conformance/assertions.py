"""What conformance.md asks of an OCSP response and its HTTP header fields, asserted on the octets that were served.

Nothing here uses the project's own codec: asn1crypto reads, cryptography verifies. Each check yields what it finds
wrong; `ocsp_findings` and `http_findings` put the row before it.
"""

import calendar
import hashlib
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any

from asn1crypto import core
from asn1crypto import ocsp as asn1
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.x509.oid import ExtendedKeyUsageOID

from tests.conformance.signatures import SHA1_SIGNATURES, key_bits, verifies

__all__ = ["Expected", "OcspAnswer", "http_findings", "ocsp_findings", "seconds"]

HOUR = 3600
DAY = 86_400
GENERALIZED_TIME = re.compile(rb"\d{14}Z")
REASON_CODE = "2.5.29.21"
REASONS = {1, 3, 4, 5, 9}
P256 = "300a06082a8648ce3d040302"
BUDGET = {"sha1": 850, "sha256": 880}  # octets: R-29's 800 and 830, and a responder name of 50
MAX_AGE = 3600
NEEDED = {"content-length", "date", "last-modified", "etag", "expires", "cache-control"}


@dataclass(frozen=True, slots=True)
class Expected:
    """What the CA knows of one certificate; times are seconds since 1970, reason 0 is one that is not published."""

    serial: int
    not_after: int
    revocation_time: int | None = None
    reason: int = 0


class OcspAnswer:
    """One successful response beside what was asked, of which issuer, and when it came. Raises ValueError."""

    def __init__(
        self, body: bytes, cert_id: bytes, issuer: x509.Certificate, expected: Expected, now: int
    ) -> None:
        self.body, self.cert_id, self.issuer, self.expected, self.now = body, cert_id, issuer, expected, now
        outer = asn1.OCSPResponse.load(body, strict=True)
        self.status: int = int.from_bytes(outer["response_status"].contents)
        self.response_type: str = outer["response_bytes"]["response_type"].dotted
        self.basic_octets = bytes(outer["response_bytes"]["response"])
        self.basic = asn1.BasicOCSPResponse.load(self.basic_octets, strict=True)
        self.data = self.basic["tbs_response_data"]
        self.single = self.data["responses"][0]
        self.algorithm: bytes = self.basic["signature_algorithm"].dump()
        self.signature = bytes(self.basic["signature"])
        self.certificates = [
            x509.load_der_x509_certificate(one.dump())
            for one in ([] if absent(self.basic["certs"]) else self.basic["certs"])
        ]

    @property
    def signer(self) -> x509.Certificate:
        return self.certificates[0] if self.certificates else self.issuer

    @property
    def this_update(self) -> int:
        return seconds(self.single["this_update"])

    @property
    def produced_at(self) -> int:
        return seconds(self.data["produced_at"])

    @property
    def next_update(self) -> int:
        return seconds(self.single["next_update"])

    @property
    def validity(self) -> int:
        return self.next_update - self.this_update

    @property
    def revoked(self) -> Any:
        """RevokedInfo, or None."""
        return self.single["cert_status"].chosen if self.single["cert_status"].name == "revoked" else None


def absent(field: Any) -> bool:
    return isinstance(field, core.Void)


def seconds(field: Any) -> int:
    """A GeneralizedTime by its octets: asn1crypto itself reads more than DER."""
    return calendar.timegm(time.strptime(field.contents.decode("ascii"), "%Y%m%d%H%M%SZ"))


def _stated_times(answer: OcspAnswer) -> list[Any]:
    times = [answer.data["produced_at"], answer.single["this_update"]]
    if not absent(answer.single["next_update"]):
        times.append(answer.single["next_update"])
    if answer.revoked is not None:
        times.append(answer.revoked["revocation_time"])
    return times


def basic_and_der(answer: OcspAnswer) -> Iterator[str]:
    if answer.status != 0 or answer.response_type != "1.3.6.1.5.5.7.48.1.1":
        yield f"responseStatus {answer.status}, responseType {answer.response_type}"
    if asn1.BasicOCSPResponse.load(answer.basic_octets).dump(force=True) != answer.basic_octets:
        yield "encoded again it is another octet string"
    if answer.data.contents[:1] == b"\xa0":
        yield "version is encoded though it is the default"


def one_single_response(answer: OcspAnswer) -> Iterator[str]:
    if len(answer.data["responses"]) != 1:
        yield f"{len(answer.data['responses'])} SingleResponses"
    if answer.single["cert_id"].dump() != answer.cert_id:
        yield f"CertID {answer.single['cert_id'].dump().hex()}, asked {answer.cert_id.hex()}"


def by_key(answer: OcspAnswer) -> Iterator[str]:
    responder = answer.data["responder_id"]
    if responder.name != "by_key":
        yield f"ResponderID is {responder.name}"
    elif bytes(responder.chosen) != hashlib.sha1(key_bits(answer.signer)).digest():
        yield "byKey is not SHA-1 of the signer's key"


def time_format(answer: OcspAnswer) -> Iterator[str]:
    for field in _stated_times(answer):
        if field.tag != 24 or not GENERALIZED_TIME.fullmatch(field.contents):
            yield f"time {field.contents!r}"


def time_order(answer: OcspAnswer) -> Iterator[str]:
    if not answer.this_update <= answer.produced_at <= answer.now:
        yield f"thisUpdate {answer.this_update}, producedAt {answer.produced_at}, served at {answer.now}"
    if not absent(answer.single["next_update"]) and answer.produced_at >= answer.next_update:
        yield "producedAt is not before nextUpdate"


def next_update_present(answer: OcspAnswer) -> Iterator[str]:
    if absent(answer.single["next_update"]):
        yield "no nextUpdate"


def validity_window(answer: OcspAnswer) -> Iterator[str]:
    """R-12 to R-15: from 8 h to one second less than 7 d, both ends counted."""
    if not 8 * HOUR <= answer.validity <= 7 * DAY - 1:
        yield f"valid for {answer.validity} s"


def within_signer(answer: OcspAnswer) -> Iterator[str]:
    for certificate in answer.certificates or [answer.issuer]:
        if answer.next_update > certificate.not_valid_after_utc.timestamp():
            yield "nextUpdate is after notAfter of the signer"


def within_subject(answer: OcspAnswer) -> Iterator[str]:
    if answer.next_update > max(answer.expected.not_after, answer.this_update + 8 * HOUR):
        yield f"nextUpdate {answer.next_update}, notAfter {answer.expected.not_after}"


def status_is_the_records(answer: OcspAnswer) -> Iterator[str]:
    kind = answer.single["cert_status"].name
    if kind != ("good" if answer.expected.revocation_time is None else "revoked"):
        yield f"status {kind}, expected {answer.expected}"
    if answer.revoked is None:
        return
    when = seconds(answer.revoked["revocation_time"])
    if when != answer.expected.revocation_time:
        yield f"revocationTime {when}, expected {answer.expected.revocation_time}"
    given = answer.revoked["revocation_reason"]
    reason = 0 if absent(given) else int.from_bytes(given.contents)
    if reason != answer.expected.reason or (not absent(given) and reason not in REASONS):
        yield f"revocationReason {reason}, expected {answer.expected.reason}"


def no_reason_extension(answer: OcspAnswer) -> Iterator[str]:
    for single in answer.data["responses"]:
        for extension in [] if absent(single["single_extensions"]) else single["single_extensions"]:
            if extension["extn_id"].dotted == REASON_CODE:
                yield "reasonCode among singleExtensions"


def no_response_extensions(answer: OcspAnswer) -> Iterator[str]:
    if not absent(answer.data["response_extensions"]):
        yield "responseExtensions are present"


def size_and_certificates(answer: OcspAnswer) -> Iterator[str]:
    if len(answer.certificates) > 1 or (not absent(answer.basic["certs"]) and not answer.certificates):
        yield f"certs has {len(answer.certificates)} certificates"
    digest = answer.single["cert_id"]["hash_algorithm"]["algorithm"].native
    if answer.algorithm.hex() == P256 and len(answer.body) > BUDGET.get(digest, 0):
        yield f"{len(answer.body)} octets"


def authorised(answer: OcspAnswer) -> Iterator[str]:
    """D-01, D-02: the CA itself, or a certificate that the very same name and key issued for OCSPSigning alone."""
    if answer.signer == answer.issuer:
        return
    try:
        answer.signer.verify_directly_issued_by(answer.issuer)
        usage = answer.signer.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except (InvalidSignature, ValueError, TypeError, x509.ExtensionNotFound) as error:
        yield f"the signer was not delegated: {error!r}"
        return
    if list(usage) != [ExtendedKeyUsageOID.OCSP_SIGNING]:
        yield f"the signer is for {[one.dotted_string for one in usage]}"


def no_sha1_signature(answer: OcspAnswer) -> Iterator[str]:
    oid = answer.basic["signature_algorithm"]["algorithm"].dotted
    if oid in SHA1_SIGNATURES:
        yield f"signed with {oid}"


def signature_holds(answer: OcspAnswer) -> Iterator[str]:
    """A-01, A-05: named by the octets that the signer's key must have, and true."""
    yield from verifies(answer.signer, answer.algorithm, answer.signature, answer.data.dump())


Check = Callable[[OcspAnswer], Iterator[str]]
OCSP_CHECKS: tuple[tuple[str, Check], ...] = (
    ("R-01", basic_and_der),
    ("R-03", one_single_response),
    ("R-04", by_key),
    ("R-05", time_format),
    ("R-07", next_update_present),
    ("D-01", authorised),
    ("R-21", status_is_the_records),
    ("R-23", no_reason_extension),
    ("R-24", no_response_extensions),
    ("R-29", size_and_certificates),
    ("A-02", no_sha1_signature),
    ("A-01", signature_holds),
)
TIME_CHECKS: tuple[tuple[str, Check], ...] = (
    ("R-06", time_order),
    ("R-12", validity_window),
    ("R-17", within_signer),
    ("R-18", within_subject),
)


def ocsp_findings(answer: OcspAnswer) -> list[str]:
    """Everything that is wrong with a response. Its times are compared only where they can be read."""
    found = [f"{row}: {message}" for row, check in OCSP_CHECKS for message in check(answer)]
    if any(message.startswith(("R-05", "R-07")) for message in found):
        return found
    return found + [f"{row}: {message}" for row, check in TIME_CHECKS for message in check(answer)]


def http_findings(
    answer: OcspAnswer, headers: Mapping[str, str], raw_signature: bytes, template_number: int
) -> Iterator[str]:
    """H-01 to H-08 on the header fields of a 200, by lower-case name.

    `raw_signature` is as the record has it; with the template's number it is the entity tag.
    """
    if headers.get("content-type") != "application/ocsp-response":
        yield f"H-01: Content-Type {headers.get('content-type')}"
    if missing := NEEDED - headers.keys():
        yield f"H-02: no {', '.join(sorted(missing))}"
        return
    if int(headers["content-length"]) != len(answer.body):
        yield f"H-02: Content-Length {headers['content-length']} of {len(answer.body)} octets"
    if http_date(headers["expires"]) != answer.next_update:
        yield f"H-03: Expires {headers['expires']}"
    yield from _freshness(answer, headers)
    number = template_number.to_bytes(max(1, (template_number.bit_length() + 7) // 8))
    if headers["etag"] != f'"{raw_signature[:32].hex()}{number.hex()}"':
        yield f"H-07: ETag {headers['etag']}"
    if http_date(headers["last-modified"]) != answer.produced_at:
        yield f"H-08: Last-Modified {headers['last-modified']}"
    if http_date(headers["last-modified"]) > http_date(headers["date"]):
        yield "H-08: Last-Modified is after Date"


def _freshness(answer: OcspAnswer, headers: Mapping[str, str]) -> Iterator[str]:
    """H-04, H-05: the longest life that rule allows, and never the words that forbid to keep it."""
    found = re.fullmatch(r"max-age=(\d+), public, no-transform, must-revalidate", headers["cache-control"])
    if re.search("no-(cache|store)", headers["cache-control"]) or "pragma" in headers:
        yield f"H-05: {headers['cache-control']}, Pragma {headers.get('pragma')}"
    elif found is None:
        yield f"H-02: Cache-Control {headers['cache-control']}"
    if found is None:
        return
    now, age = http_date(headers["date"]), int(found[1])
    allowed = min(MAX_AGE, deadline(answer) - now, answer.next_update - now - 60)
    if age != max(0, allowed):
        yield f"H-04: max-age {age}, allowed {allowed}"


def deadline(answer: OcspAnswer) -> int:
    """When a replacement must be served (section 0 and R-16)."""
    latest = answer.this_update + min(answer.validity // 2, 4 * DAY)
    return min(latest, answer.next_update - 8 * HOUR) if answer.validity >= 16 * HOUR else latest


def http_date(text: str) -> int:
    """An IMF-fixdate in seconds since 1970. Raises ValueError for another form."""
    if not re.fullmatch(r"[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT", text):
        raise ValueError(f"{text!r} is no IMF-fixdate")
    return int(parsedate_to_datetime(text).timestamp())
