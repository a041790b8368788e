"""What is said of certificates into signed records: which times it carries, and that it was checked before it leaves."""

from bisect import bisect
from collections.abc import Iterator, Sequence
from itertools import accumulate, chain, pairwise

from _fastpath.signing import UnsignedRecords
from _fastpath.template import Template
from signer.errors import SignerExpiring, SigningFault
from signer.keys.file import SigningKey
from signer.ledger.values import CertificateRow, CertificateValues, StoredTemplate
from store.model import Issuer

__all__ = ["ResponseSigner", "next_update_bounds"]

MINIMUM_VALIDITY = 28_800  # 8 h exactly, BR 4.9.9
SHORTEST_FROM_SIGNER = 57_600  # below 16 h the signer's certificate has to be rotated first
ALWAYS_VERIFIED = 1_000  # the first thousand of each template
VERIFY_EVERY = 128  # then a sample: about one signature a page


def next_update_bounds(this_update: int, validity: int, signer_not_after: int) -> tuple[int, int]:
    """Between which nextUpdate is notAfter of the subject: never under 8 h, never over V nor the signer's notAfter.

    Raises SignerExpiring when the signer's certificate leaves less than 16 h (R-12, R-17, R-18).
    """
    if signer_not_after - this_update < SHORTEST_FROM_SIGNER:
        raise SignerExpiring(signer_not_after, this_update)
    return this_update + MINIMUM_VALIDITY, min(this_update + validity, signer_not_after)


class ResponseSigner:
    """Signs what one issuer says of its certificates under one template. Not shared between threads."""

    def __init__(
        self,
        issuer: Issuer,
        stored: StoredTemplate,
        key: SigningKey,
        certid_algorithms: tuple[int, ...],
        signer_not_after: int,
        cycle: int = 86_400,
    ) -> None:
        """`cycle`: seconds between two responses of a certificate."""
        self.issuer = issuer
        self.cycle = cycle
        self.slot = stored.slot
        self.template = Template.decode(stored.content)
        self.certid_algorithms = certid_algorithms
        self._key = key
        self._signer_not_after = signer_not_after
        self._signed = 0

    def record(self, row: CertificateRow, this_update: int, produced_at: int) -> bytes:
        """The record of one row. Raises what `unsigned` and `sign` do."""
        records = self.sign([self.unsigned([row[:5]], this_update, produced_at)])[0]
        return records[row.serial]

    def unsigned(
        self, certificates: list[CertificateValues], this_update: int, produced_at: int
    ) -> UnsignedRecords:
        """Their records before they are signed. Raises SignerExpiring, and ValueError for what none can hold."""
        bounds = this_update, this_update
        if certificates:  # an empty page is written whatever becomes of the signer
            bounds = next_update_bounds(this_update, self.template.validity, self._signer_not_after)
        return UnsignedRecords(
            self.issuer.id,
            self.template,
            self.slot,
            self.certid_algorithms,
            certificates,
            this_update=this_update,
            produced_at=produced_at,
            earliest=bounds[0],
            latest=bounds[1],
        )

    def sign(self, unsigned: Sequence[UnsignedRecords]) -> list[dict[bytes, bytes]]:
        """Records by serial: one signature per CertID algorithm (R-03), checked. Raises SigningFault.

        Step by step for all: a signature drives everything else out of the processor's caches.
        """
        data = [records.response_data() for records in unsigned]
        ends = list(accumulate(map(len, data), initial=0))
        octets = list(chain.from_iterable(data))
        signatures = self._key.sign_each(octets)
        for index in self._sample(len(octets)):
            if not self._key.verify(octets[index], signatures[index]):
                part = bisect(ends, index) - 1
                serial = unsigned[part].serial_of(index - ends[part])
                raise SigningFault(f"issuer {self.issuer.name}: serial {serial.hex()}: bad signature made")
        return [
            records.records(signatures[first:end])
            for records, (first, end) in zip(unsigned, pairwise(ends), strict=True)
        ]

    def _sample(self, count: int) -> Iterator[int]:
        """Which of the next `count` signatures are verified (A-05)."""
        before = self._signed
        self._signed += count
        yield from range(min(count, max(0, ALWAYS_VERIFIED - before)))
        yield from range(-(before + 1) % VERIFY_EVERY, count, VERIFY_EVERY)
