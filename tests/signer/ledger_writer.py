"""A writer as a process of its own: `python -m tests.signer.ledger_writer LEDGER SEED CHANGES DELAY [SEQUENCE]`.

It issues and revokes through the calls of the intake API, the import and the revoke command until it has made CHANGES,
and waits up to DELAY milliseconds before each commit. It prints READY, begins at the end of its input, and at its end
prints each change as `kind serial`. With the file SEQUENCE the generations come out of a sequence, as they must not:
taken before the wait, under no lock.
"""

import fcntl
import random
import sys
import time
from pathlib import Path

from sqlalchemy import Connection, event, func, update

from signer.ledger import generations, schema
from signer.ledger.deeds import Issue, Revoke, Settled
from signer.ledger.engine import WRITE
from signer.ledger.ledger import Ledger
from signer.ledger.mass_revocation import Batch
from signer.ledger.values import CertificateRow, ChangeKind, Revocation
from tests.signer.ledgers import NOW, YEAR, certificate_row

READY = "ready\n"
DEED_ROWS = 4  # above that many of an intake's certificates become one change over their pages
IMPORT_ROWS = 20, 60  # so few are never dense enough for that
REVOKED = 30
MOST_LIVING = 2_000
LONG = 20  # times DELAY: between a number of a sequence and the turn to commit


class Writer:
    """Makes changes, each to a certificate of its own."""

    def __init__(self, url: str, seed: int, delay: float, sequence: "Sequence | None") -> None:
        self._ledger = Ledger.open(url)
        self._issuer = self._ledger.issuer("demo").id
        self._source = random.Random(seed)
        self._delay = delay
        self._sequence = sequence
        self._living: list[bytes] = []
        self.made: list[tuple[ChangeKind, bytes]] = []
        event.listen(self._ledger._engine, "commit", self._wait)

    def _wait(self, connection: Connection) -> None:
        if connection.get_execution_options().get(WRITE, False):
            time.sleep(self._source.uniform(0, self._delay))

    def work(self, changes: int) -> None:
        while len(self.made) < changes:
            left = changes - len(self.made)
            kinds = [self._revoke, self._revoke_many]
            if len(self._living) < MOST_LIVING:
                kinds += [self._issue] if left < IMPORT_ROWS[0] else [self._issue, self._import]
            self._source.choice(kinds)(left)

    def _take(self, count: int) -> None:
        if self._sequence is not None:
            self._sequence.take(count)
            time.sleep(self._source.uniform(0, LONG * self._delay))

    def _new(self, least: int, most: int) -> list[CertificateRow]:
        count = self._source.randint(least, most)
        rows = sorted(
            certificate_row(b"\x01" + self._source.randbytes(15), not_after=NOW + YEAR) for _ in range(count)
        )
        self._take(len(rows))
        return rows

    def _issued(self, rows: list[CertificateRow]) -> None:
        self._living += [row.serial for row in rows]
        self.made += [(ChangeKind.ISSUE, row.serial) for row in rows]

    def _issue(self, left: int) -> None:
        rows = self._new(1, min(left, DEED_ROWS))
        self._carry_out(Issue(self._issuer, "w", rows))
        self._issued(rows)

    def _import(self, left: int) -> None:
        rows = self._new(IMPORT_ROWS[0], min(left, IMPORT_ROWS[1]))
        assert self._ledger.add_certificates(self._issuer, rows, NOW).new == len(rows)
        self._issued(rows)

    def _chosen(self, left: int) -> list[Revocation]:
        """Living ones, which are none from now on."""
        self._source.shuffle(self._living)
        count = self._source.randint(0, min(left, REVOKED, len(self._living)))
        asked = [Revocation(self._living.pop(), NOW - self._source.randrange(1000), 1) for _ in range(count)]
        if asked:
            self._take(count)
        self.made += [(ChangeKind.REVOKE, one.serial) for one in asked]
        return asked

    def _revoke(self, left: int) -> None:
        self._carry_out(Revoke(self._issuer, "w", self._chosen(left)))

    def _revoke_many(self, left: int) -> None:
        asked = self._chosen(left)
        batch = Batch("b", "w", {})
        assert self._ledger.revoke_mass(self._issuer, asked, NOW, batch, lambda count: None).changed == len(
            asked
        )

    def _carry_out(self, deed: Issue | Revoke) -> None:
        (results,) = self._ledger.carry_out([deed], NOW)
        assert all(isinstance(result, Settled) for result in results)


class Sequence:
    """Numbers that are handed out at once and for good, whoever commits first."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._first = 0

    def take(self, count: int) -> None:
        with self._path.open("r+") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            self._first = int(file.read())
            file.seek(0)
            file.write(str(self._first + count))

    def use(self, connection: Connection, issuer_id: int, count: int = 1) -> int:
        """In place of `generations.take`."""
        table = schema.issuer
        highest = func.max(table.c.generation, self._first + count - 1)
        connection.execute(update(table).where(table.c.id == issuer_id).values(generation=highest))
        return self._first


def main(url: str, seed: str, changes: str, delay: str, *sequence: str) -> None:
    numbers = Sequence(Path(sequence[0])) if sequence else None
    if numbers is not None:
        generations.take = numbers.use
    writer = Writer(url, int(seed), float(delay) / 1000, numbers)
    sys.stdout.write(READY)
    sys.stdout.flush()
    sys.stdin.read()
    writer.work(int(changes))
    sys.stdout.writelines(f"{kind} {serial.hex()}\n" for kind, serial in writer.made)


if __name__ == "__main__":
    main(*sys.argv[1:])
