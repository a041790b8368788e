"""One certificate's status into a signed record: which times it carries, and that it was checked before it leaves."""

from collections.abc import Iterable

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
        self, rows: Iterable[CertificateRow], this_update: int, produced_at: int
    ) -> dict[bytes, bytes]:
        """The records of `rows`, by serial. Raises SigningFault, SignerExpiring, and ValueError for what none can hold.

        Beside a signature everything counts that is done millions of times: what stays the same is looked up once.
        """
        template, issuer, slot = self.template, self.issuer.id, self.slot
        sign = self._key.sign_der
        validity, until = template.validity, self._signer_not_after
        most = next_update_of(this_update, validity, this_update + validity, until)
        records = {}
        for _, serial, not_after, revocation_time, reason, _ in rows:
            response = SingleResponse(
                serial,
                this_update=this_update,
                produced_at=produced_at,
                next_update=most
                if not_after >= most
                else next_update_of(this_update, validity, not_after, until),
                revocation_time=revocation_time,
                reason=reason,
            )
            signatures: list[bytes | None] = [None, None]
            for algorithm in self.certid_algorithms:
                data = encode_tbs_response_data(template, issuer, algorithm, response)
                signature = sign(data)
                self._signed = signed = self._signed + 1
                if signed <= ALWAYS_VERIFIED or signed % VERIFY_EVERY == 0:
                    self._check(response, data, signature)
                signatures[algorithm - 1] = signature_to_raw(template, signature)
            records[serial] = encode_record(issuer, template, slot, response, *signatures)
        return records

    def _check(self, response: SingleResponse, data: bytes, signature: bytes) -> None:
        if not self._key.verify(data, signature):
            raise SigningFault(
                f"issuer {self.issuer.name}: serial {response.serial_number.hex()}: bad signature made"
            )
