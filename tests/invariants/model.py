"""What may be said of certificates, from the events alone: a dict of serials with status and times, and no code of ours.

What is found wrong is said in words that begin with the invariant.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

__all__ = ["KEY_COMPROMISE", "Certificate", "Crl", "Model", "Revocation", "Said"]

KEY_COMPROMISE = 1
MARGIN = 60  # seconds before nextUpdate from which on nothing is sent
Revocation = tuple[int, int]  # time, reason
Crl = dict[bytes, Revocation]  # the entries of one


@dataclass(frozen=True, slots=True)
class Said:
    """One answer. `status` is good, revoked, or what stands for no statement: unauthorized, tryLater."""

    status: str
    this_update: int = 0
    next_update: int = 0
    produced_at: int = 0
    revocation: Revocation | None = None


@dataclass(slots=True)
class Certificate:
    """One certificate as the CA knows it, and what clients saw of it."""

    not_after: int
    revocation: Revocation | None = None  # as it was acknowledged last
    said_before: list[Revocation] = field(default_factory=list)  # what was acknowledged earlier
    published: bool = False  # it is answered, so that whoever has it may ask
    settled: bool = False  # all that was acknowledged is answered: the bound of A1 has passed
    seen: Said | None = None  # the last statement
    went_back: bool = False  # the store has answers of before, and clients may not have seen the last of them


class Model:
    """Certificates by serial, and the CRLs that were published, by path."""

    def __init__(self) -> None:
        self.certificates: dict[bytes, Certificate] = {}
        self._crls: dict[str, tuple[int, int, Crl]] = {}  # number, thisUpdate, entries
        # Serials that a CRL had after their certificate's end, by path, with what it said of them.
        self._past: dict[tuple[str, bytes], Revocation] = {}

    # Events

    def issued(self, serial: bytes, not_after: int) -> None:
        self.certificates.setdefault(serial, Certificate(not_after))

    def revoked(self, serial: bytes, asked: Revocation, acknowledged: Revocation) -> Iterator[str]:
        """Take in a revocation. A6: the earlier time holds, and the reason only ever becomes keyCompromise."""
        one = self.certificates[serial]
        wanted = asked
        if one.revocation is not None:
            time, reason = one.revocation
            graver = KEY_COMPROMISE if asked[1] == KEY_COMPROMISE else reason
            wanted = min(time, asked[0]), graver
            if wanted != one.revocation:
                one.said_before.append(one.revocation)
                one.settled = False
        else:
            one.settled = False
        if acknowledged != wanted:
            yield f"A6: {serial.hex()} was acknowledged as {acknowledged}, not {wanted}"
        one.revocation = wanted

    def all_is_answered(self) -> None:
        """Signer and responder say that all is well, and nothing waits."""
        for one in self.certificates.values():
            one.published = one.settled = True
            if one.went_back and one.seen is not None:
                one.seen = replace(one.seen, this_update=0)
            one.went_back = False

    def store_went_back(self) -> None:
        """It has answers of before again: each holds, if all that was acknowledged is in it, but may be an older one."""
        for one in self.certificates.values():
            one.went_back = True

    # Answers

    def answered(self, serial: bytes, said: Said, now: int, latest: int) -> Iterator[str]:
        """What is wrong with an answer. `now` is the responder's time, `latest` of that and the true one the later."""
        one = self.certificates.get(serial)
        if said.status not in ("good", "revoked"):
            if said.status not in ("tryLater", "unauthorized"):
                yield f"A8: {said.status} for {serial.hex()}"
            if said.status == "unauthorized" and one and one.published and latest <= one.not_after:
                yield f"C4: unauthorized for {serial.hex()}, which is issued"
            return
        if one is None:
            yield f"A3: {said.status} for {serial.hex()}, which is not issued"
            return
        yield from _in_time(serial, said, now)
        yield from _follows(serial, one, said)
        yield from _is_so(serial, one, said)
        one.seen = said

    def lacks(self, serial: bytes, said: Said) -> Iterator[str]:
        """Where everything works and is settled: an answer that should be there, and be the last word."""
        one = self.certificates[serial]
        wanted = "good" if one.revocation is None else "revoked"
        if said.status != wanted or said.revocation != one.revocation:
            yield f"A5: {serial.hex()} is {one.revocation or 'good'} and answered {said}"

    # CRLs

    def published(
        self, path: str, number: int, this_update: int, entries: Crl, members: set[bytes]
    ) -> Iterator[str]:
        """Take in a CRL that was built just now of a shard to which `members` belong; what is wrong with it."""
        last_number, last_update, last = self._crls.get(path, (0, 0, {}))
        if number <= last_number or this_update <= last_update:
            yield f"D1: {path} number {number} of {this_update} follows {last_number} of {last_update}"
        for serial in last.keys() - entries.keys():
            if self.certificates[serial].not_after >= last_update:
                yield f"D3: {serial.hex()} left {path} number {number} before a CRL past its end had it"
        for serial in members:
            yield from self._entry(path, serial, this_update, entries)
        for serial in entries.keys() - members:
            yield f"D5: {path} number {number} has {serial.hex()}, which is not of it"
        self._crls[path] = number, this_update, entries
        self._past.update(
            ((path, serial), said)
            for serial, said in entries.items()
            if serial in members and self.certificates[serial].not_after < this_update
        )

    def _entry(self, path: str, serial: bytes, this_update: int, entries: Crl) -> Iterator[str]:
        one = self.certificates[serial]
        found = entries.get(serial)
        if one.revocation is None:
            if found is not None:
                yield f"A5: {path} has {serial.hex()}, which nobody revoked"
        elif found is None:
            if one.not_after >= this_update or (path, serial) not in self._past:
                yield f"D4: {path} lacks {serial.hex()}"
        elif found != one.revocation:
            yield f"A5: {path} has {serial.hex()} as {found}, not {one.revocation}"

    def number(self, path: str) -> int:
        """Of the newest CRL that was published."""
        return self._crls[path][0] if path in self._crls else 0

    def on_crls(self) -> set[bytes]:
        """Serials of the newest CRLs."""
        return {serial for _, _, entries in self._crls.values() for serial in entries}


def _in_time(serial: bytes, said: Said, now: int) -> Iterator[str]:
    if now >= said.next_update - MARGIN:
        yield f"B1: {serial.hex()} answered {said.next_update - now} s before nextUpdate"
    if not said.this_update <= said.produced_at <= now:
        yield f"B6: {serial.hex()} answered at {now} with {said}"


def _follows(serial: bytes, one: Certificate, said: Said) -> Iterator[str]:
    """Held against the statement that clients saw before."""
    seen = one.seen
    if seen is None:
        return
    if said.this_update < seen.this_update and not one.went_back:
        yield f"A1: thisUpdate of {serial.hex()} fell by {seen.this_update - said.this_update} s"
    if seen.revocation is None:
        return
    if said.revocation is None:
        yield f"A2: {serial.hex()} was revoked and is good again"
    elif said.revocation[0] > seen.revocation[0]:
        yield f"A6: revocation time of {serial.hex()} went from {seen.revocation} to {said.revocation}"
    elif said.revocation[1] not in (seen.revocation[1], KEY_COMPROMISE):
        yield f"A6: reason of {serial.hex()} went from {seen.revocation} to {said.revocation}"


def _is_so(serial: bytes, one: Certificate, said: Said) -> Iterator[str]:
    """Held against what was acknowledged; the last word of it once its bound has passed."""
    if said.revocation is None:
        if one.settled and one.revocation is not None:
            yield f"A1: {serial.hex()} is good, and revoked since {one.revocation}"
    elif said.revocation != one.revocation and (one.settled or said.revocation not in one.said_before):
        yield f"A6: {serial.hex()} is revoked as {said.revocation}, not {one.revocation}"
