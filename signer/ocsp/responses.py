"""One certificate's status into a signed record: which times it carries, and that it was checked before it leaves."""

from collections.abc import Sequence

from _fastpath.certid import SHA1, SHA256
from _fastpath.ocsp import SingleResponse, encode_tbs_response_data, signature_to_raw
from _fastpath.page import encode_record
from _fastpath.template import Template
from signer.errors import SignerExpiring, SigningFault
from signer.keys.file import SigningKey
from signer.ledger.values import CertificateRow, StoredTemplate
from store.model import Issuer

__all__ = ["ResponseSigner", "next_update_of"]

MINIMUM_VALIDITY = 28_800  # 8 h exactly, BR 4.9.9
SHORTEST_FROM_SIGNER = 57_600  # below 16 h the signer's certificate has to be rotated first
ALWAYS_VERIFIED = 1_000  # the first thousand of each template
VERIFY_EVERY = 128  # then a sample: about one signature a page


def next_update_of(this_update: int, validity: int, not_after: int, signer_not_after: int) -> int:
    """min(thisUpdate + V, notAfter of signer and of subject), but never under 8 h (R-12, R-17, R-18).

    Raises SignerExpiring when the signer's certificate leaves less than 16 h.
    """
    if signer_not_after - this_update < SHORTEST_FROM_SIGNER:
        raise SignerExpiring(signer_not_after, this_update)
    clamped = min(this_update + validity, max(not_after, this_update + MINIMUM_VALIDITY))
    return min(clamped, signer_not_after)


class ResponseSigner:
    """Signs what one issuer says of its certificates under one template. Not shared between threads."""

    def __init__(
        self,
        issuer: Issuer,
        stored: StoredTemplate,
        key: SigningKey,
        certid_algorithms: tuple[int, ...],
        signer_not_after: int,
    ) -> None:
        self.issuer = issuer
        self.slot = stored.slot
        self.template = Template.decode(stored.content)
        self.certid_algorithms = certid_algorithms
        self._key = key
        self._signer_not_after = signer_not_after
        self._signed = 0

    def record(self, row: CertificateRow, this_update: int, produced_at: int) -> bytes:
        """The record of `row`: one signature per CertID algorithm (R-03). Raises SigningFault, SignerExpiring."""
        return self.records([row], this_update, produced_at)[row.serial]

    def records(
        self, rows: Sequence[CertificateRow], this_update: int, produced_at: int
    ) -> dict[bytes, bytes]:
        """The records of `rows`, by serial. Raises SigningFault, SignerExpiring, and ValueError for what none can hold.

        Step by step for all rows: a signature drives everything else out of the processor's caches.
        """
        if not rows:
            return {}  # an empty page is written whatever becomes of the signer
        template, issuer, algorithms = self.template, self.issuer.id, self.certid_algorithms
        responses = self._responses(rows, this_update, produced_at)
        data = [
            encode_tbs_response_data(template, issuer, algorithm, response)
            for response in responses
            for algorithm in algorithms
        ]
        sign = self._key.sign_der
        signatures = [sign(octets) for octets in data]
        self._check(responses, data, signatures)
        raw = [signature_to_raw(template, signature) for signature in signatures]
        sha1, sha256 = (
            raw[algorithms.index(algorithm) :: len(algorithms)]
            if algorithm in algorithms
            else [None] * len(rows)
            for algorithm in (SHA1, SHA256)
        )
        return {
            response.serial_number: encode_record(issuer, template, self.slot, response, one, other)
            for response, one, other in zip(responses, sha1, sha256, strict=True)
        }

    def _responses(
        self, rows: Sequence[CertificateRow], this_update: int, produced_at: int
    ) -> list[SingleResponse]:
        validity, signer_not_after = self.template.validity, self._signer_not_after
        usual = next_update_of(this_update, validity, this_update + validity, signer_not_after)
        return [
            SingleResponse(
                serial,
                this_update=this_update,
                produced_at=produced_at,
                next_update=usual
                if not_after >= usual
                else next_update_of(this_update, validity, not_after, signer_not_after),
                revocation_time=revocation_time,
                reason=reason,
            )
            for _, serial, not_after, revocation_time, reason, _ in rows
        ]

    def _check(
        self, responses: Sequence[SingleResponse], data: Sequence[bytes], signatures: Sequence[bytes]
    ) -> None:
        """Verify what has to be of these signatures (A-05). Raises SigningFault."""
        before = self._signed
        self._signed += len(data)
        first = range(min(len(data), max(0, ALWAYS_VERIFIED - before)))
        sample = range(-(before + 1) % VERIFY_EVERY, len(data), VERIFY_EVERY)
        for index in (*first, *sample):
            if not self._key.verify(data[index], signatures[index]):
                serial = responses[index // len(self.certid_algorithms)].serial_number
                raise SigningFault(f"issuer {self.issuer.name}: serial {serial.hex()}: bad signature made")
