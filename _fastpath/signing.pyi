from typing import final

from _fastpath.certid import IssuerID
from _fastpath.template import Template

@final
class UnsignedRecords:
    """Records of one issuer under one template, all with the same thisUpdate, before they are signed.

    `rows` are tuples that begin with (hash32, serial, notAfter, revocation time or None, CRLReason); times are whole
    seconds since 1970, UTC. nextUpdate is notAfter, but not before `earliest` nor after `latest`.

    Raises ValueError for what a response or a record has no place for; then nothing is to be signed.
    """

    def __init__(
        self,
        issuer: IssuerID,
        template: Template,
        template_slot: int,
        certid_algorithms: tuple[int, ...],
        rows: list[tuple[int, bytes, int, int | None, int]],
        *,
        this_update: int,
        produced_at: int,
        earliest: int,
        latest: int,
    ) -> None: ...
    def __len__(self) -> int:
        """How many records."""

    def serial_of(self, index: int) -> bytes:
        """Serial number of the record that the signature of this index in `response_data` goes into."""

    def response_data(self) -> list[bytes]:
        """What to sign: for each record DER ResponseData with the SHA-1 CertID, then with the SHA-256 CertID."""

    def records(self, signatures: list[bytes]) -> dict[bytes, bytes]:
        """The records by serial, with the signatures of `response_data` as `SigningKey` makes them.

        Raises ValueError for another number of them, or one that does not fit the template.
        """
