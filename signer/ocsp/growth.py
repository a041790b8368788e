"""How large an issuer's pages have become, and what more of them would take, reckoned from a sample."""

from dataclasses import dataclass

from signer.context import Context, page_bits_for
from signer.errors import NoRoom
from signer.ledger.layouts import MAX_PAGE_BITS
from signer.ledger.values import Layout
from store.connection import translated
from store.reader import StoreReader

__all__ = ["Growth", "measure"]

SAMPLE = 64  # pages
PAGE_OCTETS = 120  # what the store keeps of a page beside its fields
FIELD_OCTETS = 9  # and of a field beside serial and record


@dataclass(frozen=True, slots=True)
class Growth:
    """The pages of one issuer, as some of them are, and the store they are in. Sizes in octets."""

    layout: Layout
    certificates: int
    fields: int  # what all records take
    used: int  # of the store, by whatever is in it
    limit: int  # of the store; 0 for none

    @property
    def mean(self) -> float:
        """Certificates a page."""
        return self.certificates / (1 << self.layout.page_bits)

    @property
    def wanted_bits(self) -> int:
        """For about 64 certificates a page; never less than there are."""
        return max(self.layout.page_bits, min(page_bits_for(self.certificates), MAX_PAGE_BITS))

    def octets(self, page_bits: int) -> int:
        return self.fields + (PAGE_OCTETS << page_bits)

    def check_room(self, name: str, page_bits: int) -> None:
        """Raises NoRoom if the store cannot hold both layouts at once."""
        if self.limit and self.used + self.octets(page_bits) > self.limit:
            raise NoRoom(name, self.used, self.octets(page_bits), self.limit)


def measure(context: Context, name: str) -> Growth:
    """Raises StoreUnavailable."""
    layout = context.ledger.issuer(name).layout
    reader = StoreReader(context.client, context.endpoint.url)
    pages = 1 << layout.page_bits
    sample = range(0, pages, max(1, pages // SAMPLE))
    found = [page for number in sample if (page := reader.page(name, layout.page_epoch, number))]
    octets = sum(
        len(serial) + len(record) + FIELD_OCTETS for _, records in found for serial, record in records.items()
    )
    share = pages / max(len(found), 1)
    with translated(context.endpoint.url):
        memory = context.client.info("memory")
    return Growth(
        layout,
        certificates=round(share * sum(header.count for header, _ in found)),
        fields=round(share * octets),
        used=int(memory["used_memory"]),
        limit=int(memory["maxmemory"]),
    )
