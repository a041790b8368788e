"""Key names and issuer record of the store: the contract between the signer, which writes, and the responder.

A page is one hash; its fields are serials (minimal unsigned big-endian) and one header under HEADER_FIELD.
docs/architecture.md has the whole picture.
"""

import re
from dataclasses import dataclass

from _fastpath.page import HEADER_FIELD
from store.errors import StoreFormatError

__all__ = [
    "FORMAT",
    "HEADER_FIELD",
    "HEAD_FIELD",
    "KEY_PREFIX",
    "Head",
    "IssuerRecord",
    "issuer_key",
    "page_key",
    "page_prefix",
    "template_key",
]

FORMAT = 1
KEY_PREFIX = b"ocsp:"
TEMPLATE_FIELD = b"template:"
HEAD_FIELD = b"head"
SLOTS = 256  # a record names its template in one octet


def issuer_key(issuer: str) -> bytes:
    """Key of the hash that says how an issuer's pages are laid out."""
    return b"ocsp:issuer:" + issuer.encode()


def template_key(number: int) -> bytes:
    """Key of one immutable template."""
    return b"ocsp:template:%d" % number


def page_prefix(issuer: str, page_epoch: int) -> bytes:
    """What the keys of all pages of an issuer's page epoch begin with; the page's number follows, in decimal."""
    return b"ocsp:page:%b:%d:" % (issuer.encode(), page_epoch)


def page_key(issuer: str, page_epoch: int, page: int) -> bytes:
    """Key of one page of an issuer's page epoch."""
    return b"%b%d" % (page_prefix(issuer, page_epoch), page)


@dataclass(frozen=True, slots=True)
class Head:
    """Up to which change a primary has everything, and which primary that is said of (A2).

    A server has another replication id after an empty restart, a restored dump and a promotion: the head of what it
    was before says nothing of it.
    """

    generation: int  # of the ledger
    replication_id: bytes  # `master_replid` of INFO replication, 40 hexadecimal digits

    def encode(self) -> bytes:
        return b"%d %b" % (self.generation, self.replication_id)

    @classmethod
    def decode(cls, value: bytes) -> "Head":
        """Raises ValueError."""
        found = re.fullmatch(rb"(\d{1,20}) ([0-9a-f]{40})", value)
        if found is None:
            raise ValueError(f"{value[:80]!r} is not a head: a generation and a replication id")
        return cls(int(found[1]), found[2])


@dataclass(frozen=True, slots=True)
class IssuerRecord:
    """The issuer's hash: where its pages are and which templates its records mean."""

    fingerprint: bytes  # IssuerID.fingerprint: the responder compares it with its pinned CA certificate
    page_epoch: int
    page_bits: int
    certid_algorithms: tuple[int, ...]  # certid.SHA1, certid.SHA256
    templates: dict[int, int]  # slot -> template number
    head: Head | None = None  # None: no signer has reconciled this store yet; written for itself, as the last

    def encode(self) -> dict[bytes, bytes]:
        """Fields of the store hash, decimal text where a human may look."""
        fields = {
            b"format": b"%d" % FORMAT,
            b"fingerprint": self.fingerprint,
            b"page_epoch": b"%d" % self.page_epoch,
            b"page_bits": b"%d" % self.page_bits,
            b"certid_algorithms": b",".join(b"%d" % algorithm for algorithm in self.certid_algorithms),
        }
        fields.update({b"template:%d" % slot: b"%d" % number for slot, number in self.templates.items()})
        if self.head is not None:
            fields[HEAD_FIELD] = self.head.encode()
        return fields

    @classmethod
    def decode(cls, issuer: str, fields: dict[bytes, bytes]) -> "IssuerRecord":
        """Read the hash back. Raises StoreFormatError, naming the field, for anything but this format."""
        try:
            if int(fields[b"format"]) != FORMAT:
                raise StoreFormatError(
                    f"issuer {issuer}: the store has format {fields[b'format'].decode(errors='replace')}, "
                    f"this release reads {FORMAT}",
                    remedy="upgrade this process, or run `ocsp-signer sign --all` with this release",
                )
            page_bits = int(fields[b"page_bits"])
            if not 0 <= page_bits <= 32:
                raise ValueError(f"page_bits is {page_bits}, not 0 to 32")
            page_epoch = int(fields[b"page_epoch"])
            if not 0 < page_epoch < 1 << 32:
                raise ValueError(f"page_epoch is {page_epoch}, not 1 to {(1 << 32) - 1}")
            return cls(
                fingerprint=fields[b"fingerprint"],
                page_epoch=page_epoch,
                page_bits=page_bits,
                certid_algorithms=tuple(int(part) for part in fields[b"certid_algorithms"].split(b",")),
                templates={
                    _slot(name): int(value)
                    for name, value in fields.items()
                    if name.startswith(TEMPLATE_FIELD)
                },
                head=Head.decode(fields[HEAD_FIELD]) if HEAD_FIELD in fields else None,
            )
        except (KeyError, ValueError) as error:
            raise StoreFormatError(
                f"issuer {issuer}: its record in the store cannot be read: {error}",
                remedy="run `ocsp-signer sign --all`, which writes it anew from the ledger",
            ) from error


def _slot(field: bytes) -> int:
    """The slot of a template field. One spelling each, so that there are never more than SLOTS. Raises ValueError."""
    slot = int(field.removeprefix(TEMPLATE_FIELD))
    if not 0 <= slot < SLOTS or field != TEMPLATE_FIELD + b"%d" % slot:
        raise ValueError(f"{field[:40]!r} is not template:0 to template:{SLOTS - 1}")
    return slot
