"""Recording certificates from files: thousands a commit, and each batch as if all of it were new, until one is not."""

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from signer import journal
from signer.ledger import bulk, crls, issuers
from signer.ledger.values import ImportEntry, ImportOutcome
from signer.ledger.write_back import WriteBack

__all__ = ["Import"]

Transaction = Callable[[], AbstractContextManager[Connection]]


@dataclass(frozen=True, slots=True)
class Import:
    """Into the ledger of one issuer, as at `now`. `entry` is journalled as begun with the first change, then as done."""

    transaction: Transaction  # in which constraints are not checked
    issuer_id: int
    now: int
    says_good: bool
    entry: ImportEntry | None

    def record(
        self,
        batches: Iterable[bulk.PackedRows],
        write_back: WriteBack,
        progress: Callable[[int], None] | None,
    ) -> ImportOutcome:
        """All batches, a commit each. `progress` is told how many rows each settled. Raises Misplaced and LedgerError."""
        total = ImportOutcome()
        begun, all_new = False, True
        for batch in batches:
            write_back.wait()
            found = self._batch(batch, all_new=all_new, begins=not begun)
            write_back.committed()
            begun |= not found.nothing
            all_new = found.outcome.new == len(batch)
            total.add(found.outcome)
            if progress is not None:
                progress(len(batch))
        if begun and self.entry is not None:
            counts = {name: getattr(total, name) for name in ("new", "revoked", "updated", "placed")}
            with self.transaction() as connection:
                self._journal(connection, "import done", counts)
        return total

    def _batch(self, batch: bulk.PackedRows, *, all_new: bool, begins: bool) -> bulk.Difference:
        """`all_new` is a guess: one row that is known shows when it is written, and nothing of the batch is then."""
        if all_new:
            try:
                return self._commit(batch, bulk.all_new, begins=begins)
            except IntegrityError:
                pass
        return self._commit(batch, partial(bulk.compare, says_good=self.says_good), begins=begins)

    def _commit(
        self,
        batch: bulk.PackedRows,
        compare: Callable[[Connection, int, bulk.PackedRows], bulk.Difference],
        *,
        begins: bool,
    ) -> bulk.Difference:
        with self.transaction() as connection:
            bulk.check_constraints(connection, self.issuer_id, batch.packed)
            found = compare(connection, self.issuer_id, batch)
            if begins and not found.nothing:
                self._journal(connection, "import begun", {})
            series = crls.open_series(crls.series(connection, self.issuer_id), self.now)
            issuer = issuers.by_id(connection, self.issuer_id)
            bulk.add_batch(connection, issuer, series, found, self.now)
        return found

    def _journal(self, connection: Connection, event: str, counts: dict[str, Any]) -> None:
        if self.entry is not None:
            detail = self.entry.detail | counts
            journal.append(connection, now=self.now, actor=self.entry.actor, event=event, detail=detail)
