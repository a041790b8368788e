"""The layouts of an issuer's pages: the one in force, and another one that may have pages in the store.

The other one is being filled, if its page epoch is higher, or it was in force before and is to be unlinked. It is
kept until none of its pages is left, whatever is killed, for pages can be found by their numbers alone.
"""

from sqlalchemy import Connection, delete, insert, select, update

from signer import journal
from signer.ledger import issuers, positions, schema
from signer.ledger.errors import LedgerError
from signer.ledger.generations import epoch_of
from signer.ledger.values import Layout, LedgerIssuer

__all__ = ["EPOCHS", "MAX_PAGE_BITS", "begin", "forget", "other", "put_in_force", "take_over"]

MAX_PAGE_BITS = 28
EPOCHS = (
    64  # page epochs to an epoch of the ledger: more than an issuer can use, whose pages only become smaller
)

_c = schema.repaging.c


def other(connection: Connection, issuer_id: int) -> Layout | None:
    row = connection.execute(select(_c.page_epoch, _c.page_bits).where(_c.issuer_id == issuer_id)).first()
    return None if row is None else Layout(*row)


def begin(connection: Connection, issuer_id: int, page_bits: int) -> Layout:
    """The layout that is to be filled: the one under way if it has as many pages, or a new one.

    A page epoch stands for one number of pages for ever, also if it was never in force: a page that a killed process
    left must not be taken for one of another layout. Nor must those that a ledger gave which is lost: one put back from
    a backup is of a higher epoch, and so are its page epochs. Raises LedgerError unless pages become smaller, and while
    those of another layout are still there.
    """
    present, found = issuers.by_id(connection, issuer_id), other(connection, issuer_id)
    if found is not None and found.page_epoch > present.page_epoch and found.page_bits == page_bits:
        return found
    if found is not None:
        raise LedgerError(
            f"issuer {present.name}: pages of another layout ({1 << found.page_bits:,} of them) are still in the store",
            remedy="wait for the re-paging that is under way, or give its --bits to take it up again",
        )
    if not present.page_bits < page_bits <= MAX_PAGE_BITS:
        raise LedgerError(
            f"issuer {present.name}: {page_bits} page bits; it has {present.page_bits}, and pages only become smaller",
            remedy=f"give more than {present.page_bits} and at most {MAX_PAGE_BITS}",
        )
    lost = (epoch_of(present.generation) - issuers.FIRST_LEDGER_EPOCH) * EPOCHS
    layout = Layout(max(present.page_epoch + 1, lost), page_bits)
    connection.execute(insert(schema.repaging).values(issuer_id=issuer_id, **layout._asdict()))
    return layout


def put_in_force(connection: Connection, issuer_id: int, now: int, actor: str) -> None:
    """Exchange the layout in force for the other one."""
    present, found = issuers.by_id(connection, issuer_id), other(connection, issuer_id)
    assert found is not None and found.page_epoch > present.page_epoch
    _exchange(connection, present, found)
    detail = {"issuer": present.name, **found._asdict(), "page_bits_before": present.page_bits}
    journal.append(connection, now=now, actor=actor, event="repage", detail=detail)


def take_over(connection: Connection, issuer_id: int, stored: Layout) -> None:
    """Have the store's layout in force, if it is newer than this ledger, put back from a backup, can know.

    Raises LedgerError for one that this ledger knows otherwise.
    """
    present = issuers.by_id(connection, issuer_id)
    if stored.page_epoch > present.page_epoch:
        _exchange(connection, present, stored)
    elif stored.page_epoch == present.page_epoch and stored != present.layout:
        raise LedgerError(
            f"issuer {present.name}: {1 << stored.page_bits:,} pages in the store, {1 << present.page_bits:,} in the "
            f"ledger, both of page epoch {stored.page_epoch}: it is another ledger's",
            remedy="point store.url at this ledger's own store, or restore --without-store",
        )


def _exchange(connection: Connection, present: LedgerIssuer, found: Layout) -> None:
    """What was in force is the other one then. The schedule goes on at the same certificates.

    That is, after the first part of the page that was signed last: the other parts are not due yet, and the time at which
    they are must not be taken for one that has been, or whoever starts before it would find the clock behind (B6).
    """
    forget(connection, present.id)
    connection.execute(insert(schema.repaging).values(issuer_id=present.id, **present.layout._asdict()))
    table = schema.issuer
    connection.execute(update(table).where(table.c.id == present.id).values(**found._asdict()))
    if checkpoint := positions.checkpoint(connection, present.id):
        cycle_start, next_page = checkpoint
        page = (((next_page - 1) << found.page_bits) >> present.page_bits) + 1
        positions.set_checkpoint(connection, present.id, cycle_start, page)


def forget(connection: Connection, issuer_id: int) -> None:
    """The other layout has no page left."""
    connection.execute(delete(schema.repaging).where(_c.issuer_id == issuer_id))
