"""The intake API below HTTP: calls of one issuer become deeds, and their results what callers are told."""

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, TypeAlias

from signer.intake import calls
from signer.intake.calls import Call, Read
from signer.intake.commits import Committer
from signer.intake.conflicts import conflicts
from signer.intake.revocations import typed_serial
from signer.intake.rows import RowError
from signer.intake.scope import Scope, Shards
from signer.ledger.deeds import Conflict, Deed, Issue, Reserve, Result, Revoke, Settled, Unissued
from signer.ledger.errors import LedgerError
from signer.ledger.ledger import Ledger
from signer.ledger.mass_revocation import MassOutcome
from signer.ledger.staging import StagedRow
from signer.ledger.values import CertificateState, Revocation
from signer.steady import RecordingClock
from store.errors import UsageError
from store.model import Issuer
from store.text import rfc3339

__all__ = [
    "CORRECT",
    "Answer",
    "Intake",
    "IntakeIssuer",
    "Item",
    "Refusal",
    "Submitted",
    "UnknownIssuer",
    "Work",
    "refusal",
]


CORRECT = "correct it and send it again; docs/intake.md has the fields"


class UnknownIssuer(UsageError):
    """No issuer of the configuration has that name."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why an item was refused: the status of HTTP, what is wrong, and what to do."""

    status: int
    message: str
    remedy: str | None


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of an item, and what holds of its serial now."""

    outcome: str
    certificate: dict[str, Any]


@dataclass(frozen=True, slots=True)
class IntakeIssuer:
    """An issuer as the configuration and the ledger know it."""

    id: int
    issuer: Issuer
    shards: Shards
    ocsp_url: str | None


class Intake:
    """All issuers that certificates are taken in for."""

    def __init__(
        self,
        ledger: Ledger,
        committer: Committer,
        clock: RecordingClock,
        issuers: Mapping[str, IntakeIssuer],
    ) -> None:
        self._ledger = ledger
        self._committer = committer
        self._clock = clock
        self._issuers = issuers

    def issuer(self, name: str) -> IntakeIssuer:
        """Raises UnknownIssuer."""
        if name not in self._issuers:
            raise UnknownIssuer(
                f"no issuer is named {name[:63]!r}", remedy=f"known issuers: {', '.join(self._issuers)}"
            )
        return self._issuers[name]

    def find(self, issuer: IntakeIssuer, serial: str) -> dict[str, Any]:
        """What holds of a serial. Raises RowError, and Unissued for one that is neither issued nor reserved."""
        number = typed_serial(serial)
        state = self._ledger.state(issuer.id, number)
        if state is None:
            raise Unissued(
                f"serial {number.hex()}: no certificate is recorded with it",
                remedy="see that it is the right issuer's",
            )
        return _described(issuer, state, self._clock.now())

    def work(
        self, issuer: IntakeIssuer, verb: str, media_type: str, actor: str, batch: str | None = None
    ) -> "Work":
        """For bodies or lines of one request."""
        return Work(self._ledger, self._committer, issuer, verb, media_type, actor, batch, self._clock)


Item: TypeAlias = Read[Any] | RowError
_DEEDS: dict[str, type[Deed]] = {"certificates": Issue, "reservations": Reserve, "revocations": Revoke}


class Work:
    """What one request wants of one issuer."""

    def __init__(
        self,
        ledger: Ledger,
        committer: Committer,
        issuer: IntakeIssuer,
        verb: str,
        media_type: str,
        actor: str,
        batch: str | None,
        clock: RecordingClock,
    ) -> None:
        self.batch = batch  # its id in the journal
        self._ledger = ledger
        self._committer = committer
        self._issuer = issuer
        self._verb = verb
        self._actor = actor
        self._now = clock.now()
        self._parse = self._parser(media_type, clock.latest)

    def _parser(self, media_type: str, latest: float) -> Call[Any]:
        if self._verb == "certificates":
            return calls.issue(Scope(self._issuer.issuer, self._issuer.shards, self._now), media_type)
        return calls.reserve if self._verb == "reservations" else calls.revoke(self._now, latest)

    def read(self, items: Sequence[bytes | RowError]) -> list[Item]:
        """What some hundred items say."""
        return [self._read(one) for one in items]

    def count(self, read: Iterable[Item]) -> MassOutcome:
        """What revocations would come to that were read; each serial once."""
        asked: dict[bytes, Revocation] = {}
        for one in read:
            if not isinstance(one, RowError):
                asked.setdefault(one.item.serial, one.item)
        ledger, issuer_id = self._ledger, self._issuer.id
        return ledger.plan_mass_revocation(issuer_id, asked.values(), self._now, lambda count: None)

    def submit(self, read: Sequence[Item]) -> "Submitted":
        """Hand over those of some hundred that are right."""
        refused: dict[int, Refusal] = {
            place: Refusal(400, str(one), CORRECT)
            for place, one in enumerate(read)
            if isinstance(one, RowError)
        }
        wanted = {place: one for place, one in enumerate(read) if not isinstance(one, RowError)}
        if self._verb == "certificates":
            refused |= self._misplaced(wanted)
        places = [place for place in wanted if place not in refused]
        items = [wanted[place].item for place in places]
        deed = _DEEDS[self._verb](self._issuer.id, self._actor, items, self.batch)
        done = self._committer.submit(deed) if places else None
        notes = [wanted[place].notes for place in places]
        return Submitted(self._issuer, self._now, refused, places, notes, done)

    def _read(self, data: bytes | RowError) -> Item:
        if isinstance(data, RowError):
            return data
        try:
            return self._parse(data)
        except RowError as error:
            return error

    def _misplaced(self, wanted: Mapping[int, Read[Any]]) -> dict[int, Refusal]:
        """Certificates that contradict what is recorded, told in the words of an import."""
        shards = self._issuer.shards
        if not shards.for_authorities and not any(read.item.placement for read in wanted.values()):
            return {}
        groups = sorted([StagedRow(read.item, False, place)] for place, read in wanted.items())
        found: dict[int, Refusal] = {}
        for staged, why in conflicts(groups, self._ledger, self._issuer.id, shards):
            found.setdefault(staged.where, Refusal(409, why, "find out which of the two is right"))
        return found


@dataclass(frozen=True, slots=True)
class Submitted:
    """Items under way: those refused before the ledger saw them, by place, and the places of the others."""

    issuer: IntakeIssuer
    now: int
    refused: Mapping[int, Refusal]
    places: Sequence[int]
    notes: Sequence[tuple[str, ...]]
    done: "Future[list[Result]] | None"

    def answers(self, results: Sequence[Result]) -> list[Answer | Refusal]:
        """One an item, in order, from what the ledger says of those that were handed over."""
        found: dict[int, Answer | Refusal] = dict(self.refused)
        for place, notes, result in zip(self.places, self.notes, results, strict=True):
            found[place] = self._answer(result, notes)
        return [found[place] for place in sorted(found)]

    def _answer(self, result: Result, notes: tuple[str, ...]) -> Answer | Refusal:
        if isinstance(result, Settled):
            described = _described(self.issuer, result.state, self.now)
            return Answer(result.outcome, described | ({"notes": list(notes)} if notes else {}))
        return refusal(result)


def refusal(error: LedgerError) -> Refusal:
    """503 for what is the ledger's own trouble."""
    status = {Conflict: 409, Unissued: 404}.get(type(error), 503)
    return Refusal(status, error.message, error.remedy)


def _described(issuer: IntakeIssuer, state: CertificateState, now: int) -> dict[str, Any]:
    """The same however often it is asked, until something changes."""
    if state.not_after is None:
        status = "reserved"
    elif state.revocation_time is not None:
        status = "revoked"
    else:
        status = "expired" if state.not_after < now else "good"
    revoked = state.revocation_time is not None
    return {
        "serial": state.serial.hex(),
        "status": status,
        "not_after": rfc3339(state.not_after),
        "revoked_at": rfc3339(state.revocation_time),
        "reason": state.reason if revoked else None,
        "crl_url": issuer.shards.url(state.placement),
        "ocsp_url": issuer.ocsp_url,
    }
