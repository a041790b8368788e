"""OCSP responses that were signed elsewhere and are served whole: read strictly, and tied to the CA (C1, C2)."""

import hashlib
from dataclasses import dataclass
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from cryptography.x509.oid import CRLEntryExtensionOID, OCSPExtensionOID

from _fastpath.certid import SHA1, SHA256, IssuerID, serial_from_int
from _fastpath.errors import MalformedDer
from _fastpath.imported import LARGEST_RESPONSE
from _fastpath.ocsp import split_response
from store.model import REASON_NUMBERS, UNREADABLE, Issuer, public_key_bits, subject_name
from store.trust import ALGORITHMS, Untrusted, responder_of, verifies

__all__ = ["Admitted", "ImportedResponse", "Unfit", "admit", "read_response"]

HASHES = {hashes.SHA1: SHA1, hashes.SHA256: SHA256}


class Unfit(Exception):
    """A response that is not to be served: which field of it, and what is wrong there."""

    def __init__(self, field: str, why: str) -> None:
        super().__init__(f"{field}: {why}")


@dataclass(frozen=True, slots=True)
class ImportedResponse:
    """What a response says, and who signed it. Times are in seconds since 1970."""

    body: bytes
    hash_algorithm: int  # certid.SHA1, certid.SHA256
    serial: bytes
    this_update: int
    produced_at: int
    next_update: int
    revocation_time: int | None  # None: good
    reason: int
    signature_algorithm: bytes  # DER AlgorithmIdentifier
    by_name: bool  # its ResponderID
    signer: x509.Certificate
    certificates: tuple[x509.Certificate, ...]  # that it carries

    @property
    def status(self) -> tuple[int | None, int]:
        """Revocation time and reason."""
        return self.revocation_time, self.reason

    @property
    def revoked(self) -> bool:
        return self.revocation_time is not None


class Admitted(NamedTuple):
    """What a responder has to know of a response that it may serve."""

    this_update: int
    produced_at: int
    next_update: int
    revoked: bool
    not_before: int  # of the signer's certificate
    not_after: int
    digest: bytes  # SHA-256 of the response, of which its entity tag is made (RFC 9919 section 7.2)


def admit(issuer: Issuer, body: bytes, hash_algorithm: int, serial: bytes) -> Admitted:
    """Of a response out of the store, for the CertID that was asked for. Raises Unfit."""
    said = read_response(issuer, body)
    if (said.hash_algorithm, said.serial) != (hash_algorithm, serial):
        raise Unfit("certID", f"it is about serial {said.serial.hex()}, or by another hash algorithm")
    return Admitted(
        said.this_update,
        said.produced_at,
        said.next_update,
        said.revoked,
        int(said.signer.not_valid_before_utc.timestamp()),
        int(said.signer.not_valid_after_utc.timestamp()),
        hashlib.sha256(body).digest(),
    )


def read_response(issuer: Issuer, body: bytes) -> ImportedResponse:
    """Everything about a response that does not depend on the time, its signature included. Raises Unfit."""
    if len(body) > LARGEST_RESPONSE:
        raise Unfit("size", f"{len(body):,} octets, {LARGEST_RESPONSE:,} are allowed")
    try:
        return _read(issuer, body)
    except UNREADABLE as error:
        raise Unfit("OCSPResponse", f"cannot be read: {error}") from None


def _read(issuer: Issuer, body: bytes) -> ImportedResponse:
    response = ocsp.load_der_ocsp_response(body)
    if response.response_status is not ocsp.OCSPResponseStatus.SUCCESSFUL:
        raise Unfit("responseStatus", f"{response.response_status.name.lower()}, not successful")
    try:
        _, signature_algorithm, _ = split_response(body)
    except MalformedDer as error:
        raise Unfit("BasicOCSPResponse", str(error)) from None
    if signature_algorithm not in ALGORITHMS:
        raise Unfit(
            "signatureAlgorithm", f"{signature_algorithm.hex()} is not one that clients accept (A-01)"
        )
    single = _single(response)
    _check_extensions(response)
    certificates = tuple(response.certificates)
    signer = _signer(issuer, response, certificates)
    if not verifies(signer, signature_algorithm, body):
        raise Unfit("signature", f"not that of {signer.subject.rfc4514_string()}")
    _check_certificates(issuer, certificates)
    this_update, produced_at, next_update = _times(response, single)
    revocation_time, reason = _status(single)
    return ImportedResponse(
        body,
        _hash_algorithm(issuer, single),
        _serial(single),
        this_update,
        produced_at,
        next_update,
        revocation_time,
        reason,
        signature_algorithm,
        response.responder_name is not None,
        signer,
        certificates,
    )


def _single(response: ocsp.OCSPResponse) -> ocsp.OCSPSingleResponse:
    found = list(response.responses)
    if len(found) != 1:
        raise Unfit("responses", f"{len(found)} SingleResponses, not one (R-03)")
    return found[0]


def _check_extensions(response: ocsp.OCSPResponse) -> None:
    for extension in response.extensions:
        if extension.oid == OCSPExtensionOID.NONCE:
            raise Unfit("responseExtensions", "a nonce: it answers one request and no other (R-24)")
        raise Unfit("responseExtensions", f"{extension.oid.dotted_string}: none may be there (R-24)")
    for extension in response.single_extensions:
        if extension.oid == CRLEntryExtensionOID.CRL_REASON:
            raise Unfit("singleExtensions", "reasonCode belongs into revokedInfo (R-23)")
        if extension.critical:
            raise Unfit("singleExtensions", f"{extension.oid.dotted_string} is critical")


def _hash_algorithm(issuer: Issuer, single: ocsp.OCSPSingleResponse) -> int:
    """Q-04: by name and key of the issuer. Raises Unfit for any other CertID."""
    found = HASHES.get(type(single.hash_algorithm))
    if found is None:
        raise Unfit("certID", f"hashed by {single.hash_algorithm.name}, not SHA-1 or SHA-256 (Q-05)")
    if single.issuer_name_hash + single.issuer_key_hash != issuer.id.lookup_key(found):
        raise Unfit("certID", f"its issuer is not {issuer.name}: another name or key")
    return found


def _serial(single: ocsp.OCSPSingleResponse) -> bytes:
    try:
        return serial_from_int(single.serial_number)
    except ValueError as error:
        raise Unfit("certID", f"serialNumber: {error}") from None


def _times(response: ocsp.OCSPResponse, single: ocsp.OCSPSingleResponse) -> tuple[int, int, int]:
    """R-06, R-07. thisUpdate, producedAt, nextUpdate."""
    if single.next_update_utc is None:
        raise Unfit("nextUpdate", "it is missing (R-07)")
    this_update = int(single.this_update_utc.timestamp())
    produced_at = int(response.produced_at_utc.timestamp())
    next_update = int(single.next_update_utc.timestamp())
    if not 0 <= this_update <= produced_at < next_update <= 0xFFFFFFFF:
        raise Unfit(
            "times", "thisUpdate <= producedAt < nextUpdate has to hold, in the years 1970 to 2105 (R-06)"
        )
    return this_update, produced_at, next_update


def _status(single: ocsp.OCSPSingleResponse) -> tuple[int | None, int]:
    if single.certificate_status is ocsp.OCSPCertStatus.UNKNOWN:
        raise Unfit("certStatus", "unknown: leave such a response out")
    if single.revocation_time_utc is None:
        return None, 0
    reason = single.revocation_reason
    return int(single.revocation_time_utc.timestamp()), 0 if reason is None else REASON_NUMBERS[reason]


def _signer(
    issuer: Issuer, response: ocsp.OCSPResponse, certificates: tuple[x509.Certificate, ...]
) -> x509.Certificate:
    """Whom the ResponderID names: the CA, or a responder whose certificate is there."""
    for certificate in (issuer.certificate, *certificates):
        if _is_named(response, certificate):
            try:
                return responder_of(issuer, certificate.public_bytes(Encoding.DER))
            except Untrusted as error:
                raise Unfit("certs", str(error)) from None
    raise Unfit("responderID", f"names neither {issuer.name} nor a responder whose certificate is there")


def _check_certificates(issuer: Issuer, certificates: tuple[x509.Certificate, ...]) -> None:
    """The response's signature does not cover them: each is the CA's own, octet for octet, or one that it signed."""
    for certificate in certificates:
        try:
            responder_of(issuer, certificate.public_bytes(Encoding.DER))
        except Untrusted as error:
            raise Unfit("certs", str(error)) from None


def _is_named(response: ocsp.OCSPResponse, certificate: x509.Certificate) -> bool:
    if response.responder_name is not None:
        return certificate.subject == response.responder_name
    key_hash = IssuerID(subject_name(certificate), public_key_bits(certificate)).key_hash_sha1
    return response.responder_key_hash == key_hash
