from typing import final

from _fastpath.certid import CertID

@final
class OCSPRequest:
    """A parsed OCSPRequest (RFC 6960 section 4.1.1)."""

    @property
    def cert_ids(self) -> tuple[CertID, ...]: ...  # at least one, in order
    @property
    def nonce(self) -> bytes | None: ...  # inner OCTET STRING content; answered without it

def parse_request(data: bytes) -> OCSPRequest:
    """Raises MalformedRequest, also for an unknown critical extension (Q-06) and for octets after the end.

    Bounding the size (Q-12) is the caller's part.
    """
