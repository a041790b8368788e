"""Records and pages of the store."""

from typing import Final, final

from _fastpath.certid import IssuerID
from _fastpath.ocsp import SingleResponse
from _fastpath.template import Template

HEADER_FIELD: Final[bytes]  # b"": no serial has this form, while b"#" is serial 35
HEADER_SIZE: Final[int]  # 21

def crc32c(data: bytes, seed: int = 0) -> int: ...
def hash32(serial_number: bytes) -> int:
    """First four octets, big-endian, of SHA-256 over the minimal serial. Raises ValueError beyond 55 octets."""

def page_number(serial_number: bytes, page_bits: int) -> int:
    """0 if page_bits is 0, else hash32 >> (32 - page_bits); page_bits is 0 to 32."""

@final
class PageHeader:
    """Value of the header field: `format 1 | as_of 8 | newest thisUpdate 4 | count 4 | revoked count 4`."""

    def __init__(self, as_of: int, this_update: int, count: int, revoked_count: int) -> None: ...
    @property
    def as_of(self) -> int: ...  # generation: epoch << 48 | counter
    @property
    def this_update(self) -> int: ...
    @property
    def count(self) -> int: ...
    @property
    def revoked_count(self) -> int: ...
    def encode(self) -> bytes: ...
    @staticmethod
    def decode(value: bytes) -> PageHeader:
        """Raises RecordDamaged (length) or UnknownFormat."""

def encode_page(as_of: int, this_update: int, records: dict[bytes, bytes]) -> bytes | None:
    """A page with its header as DUMP of a hash kept as a listpack gives it, for RESTORE.

    None for a page that no listpack holds: more than 512 records, or one of more than 4,095 octets.
    Raises ValueError for an empty serial or record.
    """

@final
class Record:
    """A decoded record: the single response it stands for, its template slot, one raw signature per algorithm."""

    @property
    def template_slot(self) -> int: ...
    @property
    def response(self) -> SingleResponse: ...
    @property
    def sha1_signature(self) -> bytes | None: ...
    @property
    def sha256_signature(self) -> bytes | None: ...

def encode_record(
    issuer: IssuerID,
    template: Template,
    template_slot: int,
    response: SingleResponse,
    sha1_signature: bytes | None,
    sha256_signature: bytes | None,
) -> bytes:
    """Pack a record (format 1). nextUpdate is stored only if it is not thisUpdate + template.validity."""

def record_slot(record: bytes) -> int:
    """Template slot of a record whose checksum was not looked at yet. Raises UnknownFormat, RecordDamaged."""

def decode_record(issuer: IssuerID, template: Template, serial_number: bytes, record: bytes) -> Record:
    """Unpack and check a record against the issuer and serial it was asked for. Raises RecordDamaged, UnknownFormat."""
