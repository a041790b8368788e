"""Answers that a run kept, held against what was asked."""

from collections.abc import Iterable

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509 import ocsp

from bench.serve.generator import Request, Status

__all__ = ["FIELDS", "WrongAnswer", "verify"]

# What every cacheable answer carries, ours and nginx's (conformance H-02).
FIELDS = frozenset(
    ("content-type", "content-length", "date", "last-modified", "etag", "expires", "cache-control")
)


class WrongAnswer(Exception):
    """An answer that is not the one to its request."""


def verify(
    kept: Iterable[tuple[Request, bytes]],
    expected: Status | None,
    responder: x509.Certificate,
    *,
    cacheable: bool = True,
) -> int:
    """Parse each, compare serials, check signatures and header fields; how many. Raises WrongAnswer.

    `cacheable` answers have the header fields of RFC 9919 section 7.2. Without `expected` those that ask about a serial have to succeed, and nothing is known of the others.
    """
    count = 0
    for request, answer in kept:
        if expected is not None or request.serial is not None:
            _check(request, answer, expected or Status.SUCCESSFUL, responder, cacheable)
            count += 1
    return count


def _check(
    request: Request, answer: bytes, expected: Status, responder: x509.Certificate, cacheable: bool
) -> None:
    head, _, body = answer.partition(b"\r\n\r\n")
    try:
        response = ocsp.load_der_ocsp_response(body)
    except ValueError:
        raise WrongAnswer(f"no OCSPResponse to {request.octets!r}: {answer!r}") from None
    if response.response_status.value == Status.TRY_LATER:
        return  # no lie, but counted: a run with such answers is void
    if response.response_status.value != expected:
        raise WrongAnswer(f"{response.response_status} for {request.octets!r}")
    if expected is Status.SUCCESSFUL:
        if cacheable:
            _check_fields(head)
        _check_response(request, response, responder)


def _check_fields(head: bytes) -> None:
    names = {line.partition(b":")[0].lower().decode() for line in head.split(b"\r\n")[1:]}
    if missing := FIELDS - names:
        raise WrongAnswer(f"the answer has no {', '.join(sorted(missing))}: {head!r}")


def _check_response(request: Request, response: ocsp.OCSPResponse, responder: x509.Certificate) -> None:
    if response.serial_number != request.serial:
        raise WrongAnswer(f"asked for {request.serial}, answered about {response.serial_number}")
    key = responder.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    try:
        key.verify(response.signature, response.tbs_response_bytes, ec.ECDSA(hashes.SHA256()))
    except InvalidSignature:
        raise WrongAnswer(f"serial {request.serial:x}: the signature does not verify") from None
