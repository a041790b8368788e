from collections.abc import Iterable

from _fastpath.crl_reader import Crl

Entry = tuple[bytes, int, int]  # serial (minimal unsigned), revocation time, reason (0: absent)

def first_difference(crl: Crl, expected: Iterable[Entry]) -> tuple[int, Entry | None, Entry | None] | None:
    """Where the entries of the CRL part from those expected: index, what it has, what was expected; None: nowhere.

    `expected` is read once, and no further than the difference.
    """

def first_out_of_order(crl: Crl) -> int | None:
    """Index of the first entry whose serial, as octets, is not above the one before it."""

def first_reason_outside(crl: Crl, reasons: Iterable[int]) -> int | None:
    """Index of the first entry whose reason is none of these; 0 stands for an absent reasonCode."""

def first_revoked_after(crl: Crl, seconds: int) -> int | None:
    """Index of the first entry whose revocationDate is later than that."""

def sample(crl: Crl) -> list[Entry]:
    """Entries that among them have every size of serial, every reason and every form of date in the list: 31 at most."""

def serials_absent(crl: Crl, serials: Iterable[bytes]) -> list[bytes]:
    """Those serials that no entry of the CRL has. Both in order of their octets: out of it some may be named wrongly
    that are there, never the other way round.
    """
