from typing import Final

from _fastpath.certid import IssuerID

LARGEST_RESPONSE: Final[int]  # octets of one OCSPResponse

def encode_imported_record(
    issuer: IssuerID, serial_number: bytes, this_update: int, revoked: bool, responses: dict[int, bytes]
) -> bytes:
    """The record of whole responses, by CertID hash algorithm (SHA1, SHA256), as they are served.

    `this_update` is the newest of them, in seconds since 1970. Raises ValueError for none, another algorithm, and
    a size of 0 or above LARGEST_RESPONSE.
    """

def decode_imported_record(issuer: IssuerID, serial_number: bytes, record: bytes) -> dict[int, bytes]:
    """The responses of a record, checked against the issuer and serial it was asked for, by hash algorithm.

    What they say is not looked at. Raises RecordDamaged, UnknownFormat.
    """

def is_imported_record(record: bytes) -> bool:
    """Whether a record says of itself that it is of whole responses."""
