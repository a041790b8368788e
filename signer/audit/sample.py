"""Which certificates an audit looks at more closely: chosen by chance, each as likely as any other, however many there are."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from signer.ledger.values import CertificateRow

__all__ = ["Choice", "Quota", "Reservoir"]


@dataclass(frozen=True, slots=True)
class Choice:
    """How closely one issuer is looked at."""

    sample: int  # certificates whose signatures are verified, and that responders are asked for
    full: bool  # verify every signature
    chooser: random.Random


class Quota:
    """Spreads the sample evenly over stretches of a known number of pages."""

    def __init__(self, choice: Choice, pages: int) -> None:
        self._choice = choice
        self._pages = pages
        self._reached = 0
        self._chosen = 0

    def choose(self, rows: Sequence[CertificateRow], pages: int) -> set[bytes]:
        """Serials among the rows of the next `pages` pages. What one stretch has too few for, later ones make up."""
        if self._choice.full:
            return {row.serial for row in rows}
        self._reached += pages
        due = -(-self._choice.sample * self._reached // self._pages) - self._chosen
        chosen = self._choice.chooser.sample(rows, min(due, len(rows)))
        self._chosen += len(chosen)
        return {row.serial for row in chosen}


class Reservoir:
    """Some of any number of rows: revoked ones are half of them, where there are so many."""

    def __init__(self, choice: Choice) -> None:
        self._choice = choice
        self._kept: dict[bool, list[CertificateRow]] = {True: [], False: []}  # by whether they are revoked
        self._seen = {True: 0, False: 0}

    def add(self, row: CertificateRow) -> None:
        kept = self._kept[row.revoked]
        self._seen[row.revoked] += 1
        if len(kept) < self._choice.sample:
            kept.append(row)
            return
        place = int(self._choice.chooser.random() * self._seen[row.revoked])
        if place < len(kept):
            kept[place] = row

    def rows(self) -> list[CertificateRow]:
        """In random order of each half."""
        revoked, good = self._kept[True], self._kept[False]
        most = self._choice.sample
        of_revoked = max(most // 2, most - len(good))
        return [*revoked[:of_revoked], *good[: most - min(len(revoked), of_revoked)]]
