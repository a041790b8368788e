"""What can go wrong while serving: faults of the set-up for the operator, refusals for one request."""

from typing import Literal

from _fastpath.ocsp import INTERNAL_ERROR, MALFORMED_REQUEST, TRY_LATER, UNAUTHORIZED
from store.errors import OcspeedError

__all__ = [
    "ERROR_BODIES",
    "CountersChanged",
    "Failed",
    "LookupFailed",
    "Malformed",
    "Refused",
    "Status",
    "TryLater",
    "TryLaterCause",
    "Unauthorized",
    "UnauthorizedCause",
    "WorkerFailed",
]

Status = Literal["malformed_request", "internal_error", "try_later", "unauthorized"]
UnauthorizedCause = Literal["unknown_issuer", "hash_algorithm", "several_certificates", "no_record"]
TryLaterCause = Literal[
    "bad_signature",  # a record's signature does not verify
    "expired",  # nothing newer than nextUpdate - 60 s
    "floor",  # good, for a serial on a published CRL (A2, C3)
    "issuer_missing",  # the store has no record of the issuer
    "issuer_wrong",  # the store's issuer is not the pinned CA
    "lookup_timeout",
    "no_signature",  # the record has no answer for this CertID algorithm
    "not_yet_valid",  # thisUpdate or producedAt lies ahead of our clock
    "page_changed",  # the issuer got a new page epoch during the lookup
    "page_incomplete",  # a page without a header or with too few records (C4)
    "record_damaged",
    "store_down",
    "store_error",  # the server answered with an error
    "store_protocol",  # the server answered with something else than was asked for
    "template_missing",
    "template_untrusted",  # its signer does not hold for the pinned CA (C2)
    "unknown_format",
    "unknown_slot",
    "unreconciled",  # the signer has not reconciled this issuer since the store's primary changed (A2)
    "waiting_room",
]

ERROR_BODIES: dict[Status, bytes] = {
    "malformed_request": MALFORMED_REQUEST,
    "internal_error": INTERNAL_ERROR,
    "try_later": TRY_LATER,
    "unauthorized": UNAUTHORIZED,
}


class WorkerFailed(OcspeedError):
    """No worker could start."""


class CountersChanged(OcspeedError):
    """The supervisor's counter file is that of another release."""


class LookupFailed(Exception):
    """The store gave no usable reply to a lookup."""

    def __init__(self, cause: TryLaterCause) -> None:
        super().__init__(cause)
        self.cause = cause


class Refused(Exception):
    """A request is answered with an OCSPResponse that has no responseBytes (R-02)."""

    status: Status


class Malformed(Refused):
    """The request is not an OCSPRequest."""

    status = "malformed_request"


class Failed(Refused):
    """Something went wrong here that nobody foresaw."""

    status = "internal_error"


class Unauthorized(Refused):
    """Nothing authoritative is known of the certificate (RFC 9919 section 3.2.3)."""

    status = "unauthorized"

    def __init__(self, cause: UnauthorizedCause) -> None:
        super().__init__(cause)
        self.cause = cause


class TryLater(Refused):
    """An answer may exist, but none that may be sent is at hand (R-11, A8)."""

    status = "try_later"

    def __init__(self, cause: TryLaterCause) -> None:
        super().__init__(cause)
        self.cause = cause
