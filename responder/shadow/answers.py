"""An answer of any responder, decoded into the fields that are compared."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp

from _fastpath.certid import SHA1, SHA256, CertID, minimal_serial
from _fastpath.errors import FastpathError
from _fastpath.ocsp import split_response
from responder.shadow.fields import Value
from store.asking import RESPONSE_TYPE, Answer
from store.model import UNREADABLE, Issuer, validity_fault
from store.trust import ALGORITHMS, Untrusted, responder_of, verifies

__all__ = ["Reading", "outcome_of", "read_answer"]

SKEW = 5  # seconds by which clocks may differ
VALIDATORS = ("etag", "expires", "last-modified")
DIGESTS = {"sha1": SHA1, "sha256": SHA256}
DIRECTIVE = re.compile(r'\s*([^\s=,]+)(?:\s*=\s*("[^"]*"|[^\s,]*))?\s*')


@dataclass(slots=True)
class Reading:
    """The fields of an answer, and those that are wrong whatever the other side says."""

    fields: dict[str, Value] = field(default_factory=dict)
    faults: set[str] = field(default_factory=set)


def outcome_of(reading: Reading) -> str:
    """In one word: certStatus, else responseStatus, else what HTTP or the connection came to."""
    found = reading.fields
    for name in ("cert_status", "response_status", "transport"):
        if isinstance(value := found.get(name), str):
            return value
    return f"HTTP {found.get('http_status')}"


def read_answer(answer: Answer, asked: Sequence[CertID], issuers: Sequence[Issuer], now: int) -> Reading:
    """Decode an answer that came at `now`; signatures are looked at if there are issuers."""
    reading = Reading()
    found = reading.fields
    found["http_status"] = answer.status
    found["content_type"] = answer.headers.get("content-type")
    found |= _caching(answer.headers)
    if answer.status == 200 or found["content_type"] == RESPONSE_TYPE:
        try:
            _read_response(reading, answer.body, asked, issuers, now)
        except UNREADABLE:
            found["response_status"] = "unreadable"
            reading.faults.add("response_status")
    return reading


def _caching(headers: Mapping[str, str]) -> Iterator[tuple[str, Value]]:
    """Which directives there are, how long the answer may be kept, and what it can be revalidated by."""
    control = headers.get("cache-control")
    if control is not None:
        directives = {name.lower(): value.strip('"') for name, value in DIRECTIVE.findall(control)}
        yield "cache_control", ", ".join(sorted(directives))
        age = directives.get("max-age", "")
        yield "max_age", int(age) if age.isdecimal() and len(age) < 12 else None
    yield "validators", ", ".join(name for name in VALIDATORS if name in headers)


def _read_response(
    reading: Reading, body: bytes, asked: Sequence[CertID], issuers: Sequence[Issuer], now: int
) -> None:
    """Raises UNREADABLE for what is no OCSPResponse."""
    response = ocsp.load_der_ocsp_response(body)
    found = reading.fields
    found["response_status"] = response.response_status.name.lower()
    if response.response_status is not ocsp.OCSPResponseStatus.SUCCESSFUL:
        return
    singles = list(response.responses)
    if not singles:
        raise ValueError("no SingleResponse")
    wanted = {_key(one) for one in asked}
    single = next((one for one in singles if _key_of(one) in wanted), singles[0])
    if asked and _key_of(single) not in wanted:
        reading.faults.add("cert_id")
    _read_single(found, single, now)
    found["single_responses"] = len(singles)
    found["produced_at"] = _seconds(response.produced_at_utc)
    found["responder_id"] = _responder_id(response)
    found["signature_algorithm"] = response.signature_algorithm_oid.dotted_string
    found["certificates"] = len(response.certificates)
    extensions = [*response.extensions, *(response.single_extensions if len(singles) == 1 else ())]
    found["extensions"] = ", ".join(sorted(one.oid.dotted_string for one in extensions))
    if issuers:
        found["signature"] = _signature(response, body, asked, issuers, now)
        if found["signature"] != "valid":
            reading.faults.add("signature")


def _read_single(found: dict[str, Value], single: ocsp.OCSPSingleResponse, now: int) -> None:
    algorithm, name_hash, key_hash, serial = _key_of(single)
    found["cert_id"] = f"{algorithm} {name_hash.hex()} {key_hash.hex()} {serial.hex()}"
    found["cert_status"] = single.certificate_status.name.lower()
    revoked, reason = single.revocation_time_utc, single.revocation_reason
    found["revocation_time"] = None if revoked is None else _seconds(revoked)
    found["reason"] = None if reason is None else reason.value
    found["this_update"] = this_update = _seconds(single.this_update_utc)
    end = single.next_update_utc
    found["next_update"] = next_update = None if end is None else _seconds(end)
    in_force = this_update - SKEW <= now and (next_update is None or now <= next_update)
    found["in_force"] = "yes" if in_force else "no"


CertKey = tuple[str, bytes, bytes, bytes]


def _key(cert_id: CertID) -> CertKey:
    names = [name for name, number in DIGESTS.items() if number == cert_id.hash_algorithm]
    return (names or ["other"])[0], cert_id.issuer_name_hash, cert_id.issuer_key_hash, cert_id.serial_number


def _key_of(single: ocsp.OCSPSingleResponse) -> CertKey:
    algorithm = single.hash_algorithm.name
    serial = single.serial_number
    octets = minimal_serial(serial.to_bytes((serial.bit_length() + 7) // 8)) if serial >= 0 else b""
    name = algorithm if algorithm in DIGESTS else "other"
    return name, single.issuer_name_hash, single.issuer_key_hash, octets


def _seconds(moment: datetime) -> int:
    return int(moment.timestamp())


def _responder_id(response: ocsp.OCSPResponse) -> str:
    if response.responder_key_hash is not None:
        return f"byKey {response.responder_key_hash.hex()}"
    name = response.responder_name
    return f"byName {name.rfc4514_string() if name else ''}"


def _signature(
    response: ocsp.OCSPResponse, body: bytes, asked: Sequence[CertID], issuers: Sequence[Issuer], now: int
) -> str:
    """`valid`, or what a client would say of it (RFC 6960 section 3.2)."""
    issuer = next((one for one in issuers if any(one.id.matches(cert_id) for cert_id in asked)), None)
    if issuer is None:
        return "by a CA that is not given"
    try:
        _, algorithm, _ = split_response(body)
    except FastpathError as error:
        return str(error)
    if algorithm not in ALGORITHMS:
        return "of an algorithm that is not known here"
    embedded = [one.public_bytes(Encoding.DER) for one in response.certificates]
    why = "not made by the CA or by a responder that it certified"
    for octets in (b"", *embedded):
        try:
            signer = responder_of(issuer, octets)
        except Untrusted as error:
            why = str(error)
            continue
        if verifies(signer, algorithm, body):
            return _in_force(signer, now)
    return why


def _in_force(signer: x509.Certificate, now: int) -> str:
    fault = validity_fault(signer, now)
    return f"the signer's certificate {fault}" if fault else "valid"
