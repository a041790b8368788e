"""What records of the store say, and whether somebody entitled to it signed them (C2, G3)."""

from _fastpath.certid import SHA1, SHA256
from _fastpath.ocsp import encode_response
from _fastpath.page import Record, decode_record
from _fastpath.template import Template
from signer.ledger.values import KEY_COMPROMISE
from store.model import Issuer
from store.trust import TrustedTemplate, Untrusted, trust_template

__all__ = ["KnownTemplate", "says_more"]


class KnownTemplate:
    """A template that records of one issuer name, and whether its signer speaks for the issuer."""

    def __init__(self, number: int, template: Template, issuer: Issuer) -> None:
        self.number = number
        self.template = template
        self.trusted: TrustedTemplate | None = None
        self.fault: str | None = None  # why it is not trusted
        self._issuer = issuer
        try:
            self.trusted = trust_template(issuer, number, template)
        except Untrusted as error:
            self.fault = str(error)

    def decode(self, serial: bytes, octets: bytes) -> Record:
        """Raises RecordDamaged, UnknownFormat."""
        return decode_record(self._issuer.id, self.template, serial, octets)

    def bodies(self, record: Record) -> dict[int, bytes]:
        """The OCSPResponse for each CertID algorithm that the record has a signature for."""
        found = ((SHA1, record.sha1_signature), (SHA256, record.sha256_signature))
        return {
            algorithm: encode_response(self.template, self._issuer.id, algorithm, record.response, signature)
            for algorithm, signature in found
            if signature is not None
        }

    def proves(self, record: Record) -> bool:
        """Whether it has signatures, and all of them right."""
        bodies = self.bodies(record).values()
        return self.trusted is not None and bool(bodies) and all(map(self.trusted.verifies, bodies))


def says_more(stated: tuple[int | None, int], known: tuple[int | None, int]) -> bool:
    """Whether a status (revocation time, reason) would have to change one that is recorded (A1, A6)."""
    time, reason = stated
    known_time, known_reason = known
    if time is None:
        return False
    return known_time is None or time < known_time or (reason == KEY_COMPROMISE != known_reason)
