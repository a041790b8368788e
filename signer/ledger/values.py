"""What the ledger takes and gives: plain values, times in whole seconds since 1970, serials minimal unsigned."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple

__all__ = [
    "ALLOWED_REASONS",
    "CA_SERIES",
    "FULL_SERIES",
    "KEY_COMPROMISE",
    "MAX_SERIES",
    "REASON_NAMES",
    "UNKNOWN_END",
    "UNSPECIFIED",
    "AnsweredCertificate",
    "CertificateCounts",
    "CertificateRow",
    "CertificateState",
    "CertificateValues",
    "Change",
    "ChangeKind",
    "Covers",
    "CrlPlan",
    "ImportEntry",
    "ImportOutcome",
    "Layout",
    "LedgerCertificate",
    "LedgerIssuer",
    "Outcome",
    "PlacedBy",
    "Placement",
    "Publication",
    "Recorded",
    "Revocation",
    "RevokeResult",
    "Revoked",
    "SeriesRow",
    "SeriesSpec",
    "Serials",
    "ShardSnapshot",
    "SignedResponse",
    "Snapshot",
    "StoredTemplate",
]

UNSPECIFIED = 0
KEY_COMPROMISE = 1
# CRLReason by number (RFC 5280 section 5.3.1).
REASON_NAMES = {
    UNSPECIFIED: "unspecified",
    KEY_COMPROMISE: "keyCompromise",
    2: "cACompromise",
    3: "affiliationChanged",
    4: "superseded",
    5: "cessationOfOperation",
    6: "certificateHold",
    8: "removeFromCRL",
    9: "privilegeWithdrawn",
    10: "aACompromise",
}
# Those a subscriber certificate may have (BR 7.2.2; conformance C-15).
ALLOWED_REASONS = frozenset({UNSPECIFIED, KEY_COMPROMISE, 3, 4, 5, 9})
# notAfter of a certificate that a restore found in CRLs or store alone: what RFC 5280 section 4.1.2.5 writes for none.
UNKNOWN_END = 253_402_300_799  # 9999-12-31T23:59:59Z
MAX_SERIALS = 1_000  # named of a kind; all are counted
# Numbers of an issuer's two CRLs that are no shards; shards have the numbers below, in the order of configuration.
FULL_SERIES = 65_534
CA_SERIES = 65_535
MAX_SERIES = 65_533


class ChangeKind(StrEnum):
    """What a row of the change log says happened."""

    ISSUE = "issue"
    IMPORT = "import"
    REVOKE = "revoke"
    UPDATE = "update"


class PlacedBy(StrEnum):
    """Who chose a certificate's shard: the hash of its serial, a file of rows, its own CRL distribution point, or we
    when its CA asked before signing it.

    In this order: what comes later corrects what came before.
    """

    HASH = "hash"
    FILE = "file"
    CERTIFICATE = "certificate"
    RESERVATION = "reservation"


class Placement(NamedTuple):
    """The shard a certificate belongs to."""

    series: int
    shard_index: int
    placed_by: PlacedBy


class Recorded(NamedTuple):
    """What the ledger says of a certificate that an import names too."""

    placement: Placement
    revocation_time: int | None
    reason: int


class Outcome(StrEnum):
    """What became of one revocation that was asked for."""

    REVOKED = "revoked"
    ALREADY = "already"
    UPDATED = "updated"
    REJECTED = "rejected"


class Covers(StrEnum):
    """Which certificates of its issuer the CRLs of a series are about (C-11, C-12)."""

    SHARD = "shard"  # of subscribers, each in one shard of one series
    FULL = "full"  # all of them, whatever shard they are in
    CA = "ca"  # those of CAs


@dataclass(frozen=True, slots=True)
class SeriesSpec:
    """How configuration wants one set of shards to be cut, where they are and from when on it takes certificates."""

    url_pattern: str  # with {issuer}, {series}, {index}
    shard_count: int
    opens_at: int | None = None  # None: at once


@dataclass(frozen=True, slots=True)
class CrlPlan:
    """All CRLs that configuration wants an issuer to have: series of shards by number, then those that are no shards."""

    shards: tuple[SeriesSpec, ...] = ()
    full_url: str | None = None
    ca_url: str | None = None

    def specs(self) -> dict[int, SeriesSpec]:
        """By series number."""
        specs = dict(enumerate(self.shards))
        for number, url in ((FULL_SERIES, self.full_url), (CA_SERIES, self.ca_url)):
            if url is not None:
                specs[number] = SeriesSpec(url, 1)
        return specs


@dataclass(frozen=True, slots=True)
class SeriesRow:
    """One set of CRL shards, or a CRL that is none. Never altered: other shards are another series."""

    issuer_id: int
    number: int
    url_pattern: str
    shard_count: int
    opened_at: int  # from when on certificates without a better home come into it

    @property
    def covers(self) -> Covers:
        return {FULL_SERIES: Covers.FULL, CA_SERIES: Covers.CA}.get(self.number, Covers.SHARD)

    def url(self, issuer: str, index: int) -> str:
        """The distribution point of one shard, byte for byte as in certificates and in the IDP (C-09)."""
        pattern = self.url_pattern.replace("{issuer}", issuer)
        return pattern.replace("{series}", str(self.number)).replace("{index}", str(index))

    def urls(self, issuer: str) -> set[str]:
        """Those of all its shards."""
        return {self.url(issuer, index) for index in range(self.shard_count)}


class Layout(NamedTuple):
    """Which pages there are: `1 << page_bits` of them, under keys with this page epoch."""

    page_epoch: int
    page_bits: int


@dataclass(frozen=True, slots=True)
class LedgerIssuer:
    """An issuer as the ledger knows it. `generation` is that of its newest committed change."""

    id: int
    name: str
    page_bits: int
    page_epoch: int
    generation: int

    @property
    def layout(self) -> Layout:
        return Layout(self.page_epoch, self.page_bits)


class CertificateRow(NamedTuple):
    """One certificate as pages and imports see it. A tuple, because both handle millions of them.

    `placement` is what an import says of the shard; None leaves it where it is, or to the hash if it is new.
    """

    hash32: int
    serial: bytes
    not_after: int
    revocation_time: int | None
    reason: int
    placement: Placement | None = None

    @property
    def revoked(self) -> bool:
        return self.revocation_time is not None


# hash32, serial, notAfter, revocation time or None, reason: what a CertificateRow begins with.
CertificateValues = tuple[int, bytes, int, int | None, int]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A range of certificates as of one generation, ordered by (hash32, serial)."""

    generation: int
    values: list[CertificateValues]

    @property
    def rows(self) -> list[CertificateRow]:
        """With names to them: for some, not for millions."""
        return [CertificateRow(*values) for values in self.values]


@dataclass(frozen=True, slots=True)
class LedgerCertificate:
    """Everything the ledger holds about one certificate."""

    serial: bytes
    not_after: int
    series: int
    shard_index: int
    placed_by: PlacedBy
    revocation_time: int | None
    reason: int
    issued_generation: int
    revoked_generation: int | None


class CertificateState(NamedTuple):
    """What holds for a serial that was issued, or reserved: then `not_after` is None."""

    serial: bytes
    not_after: int | None
    placement: Placement
    revocation_time: int | None
    reason: int


@dataclass(frozen=True, slots=True)
class Change:
    """One row of the change log: a serial, or all that an import put, or a mass revocation revoked, between two hash32
    values, both included."""

    generation: int
    kind: ChangeKind
    first_hash32: int
    last_hash32: int
    serial: bytes | None


@dataclass(frozen=True, slots=True)
class SignedResponse:
    """An OCSP response that was signed elsewhere, of one certificate for one CertID hash algorithm."""

    serial: bytes
    hash_algorithm: int
    this_update: int
    next_update: int
    revoked: bool
    body: bytes


class AnsweredCertificate(NamedTuple):
    """A certificate, and its responses that were signed elsewhere, as of one generation."""

    row: CertificateRow
    responses: list[SignedResponse]

    @property
    def served(self) -> list[SignedResponse]:
        """All but those that say good of a certificate that is revoked (A1, A8)."""
        return [one for one in self.responses if one.revoked or not self.row.revoked]


@dataclass(frozen=True, slots=True)
class StoredTemplate:
    """A template as numbered by the ledger; records name it by its slot."""

    number: int
    slot: int
    content: bytes


@dataclass(frozen=True, slots=True)
class Publication:
    """One CRL of one shard that was published. `generation` is the ledger's when its entries were read."""

    issuer_id: int
    series: int
    shard_index: int
    crl_number: int
    this_update: int
    next_update: int
    generation: int
    entries: int
    size: int  # octets
    sha256: bytes
    published_at: int


@dataclass(frozen=True, slots=True)
class ShardSnapshot:
    """What a CRL of one shard has to say at one generation."""

    generation: int
    # (serial, revocation time, reason) by serial, read anew from the same snapshot at every call
    entries: Callable[[], Iterator[tuple[bytes, int, int]]]


@dataclass(frozen=True, slots=True)
class Revoked:
    """Shards, by series number and index, that have new revocations up to a generation.

    With each when the oldest of them was recorded; None for an entry that came out of another shard.
    """

    generation: int
    shards: dict[tuple[int, int], int | None]


@dataclass(slots=True)
class Serials:
    """How many serials there were and the first of them, so that any number takes bounded memory."""

    count: int = 0
    first: list[bytes] = field(default_factory=list)

    def add(self, serial: bytes) -> None:
        self.count += 1
        if len(self.first) < MAX_SERIALS:
            self.first.append(serial)

    def extend(self, other: "Serials") -> None:
        self.count += other.count
        self.first += other.first[: MAX_SERIALS - len(self.first)]


@dataclass(slots=True)
class ImportOutcome:
    """What an import did to the ledger, counted in distinct serials: but for the last two they add up to them."""

    new: int = 0
    unchanged: int = 0
    revoked: int = 0  # known before as good
    updated: int = 0  # revoked before; now an earlier time or keyCompromise
    placed: int = 0  # known before; only who chose the shard changed, or the shard too
    kept_revoked: Serials = field(default_factory=Serials)  # the import says good, the ledger says revoked
    # Among the others: revoked ones that a published CRL carries and now go to another shard.
    moved_entries: Serials = field(default_factory=Serials)
    ended: int = 0  # also among them: whose notAfter was not known before

    @property
    def serials(self) -> int:
        return self.new + self.unchanged + self.revoked + self.updated + self.placed + self.kept_revoked.count

    def add(self, other: "ImportOutcome") -> None:
        self.new += other.new
        self.unchanged += other.unchanged
        self.revoked += other.revoked
        self.updated += other.updated
        self.placed += other.placed
        self.kept_revoked.extend(other.kept_revoked)
        self.moved_entries.extend(other.moved_entries)
        self.ended += other.ended


@dataclass(frozen=True, slots=True)
class ImportEntry:
    """What the journal says of an import: by whom, and of what."""

    actor: str
    detail: dict[str, Any]


class Revocation(NamedTuple):
    """A revocation that is asked for. A tuple, because there can be millions of them."""

    serial: bytes
    revocation_time: int
    reason: int = UNSPECIFIED


class RevokeResult(NamedTuple):
    """What became of it, with the time and reason that hold now."""

    serial: bytes
    outcome: Outcome
    revocation_time: int | None
    reason: int


@dataclass(frozen=True, slots=True)
class CertificateCounts:
    """certificates = good + revoked + expired; revoked wins over expired."""

    certificates: int
    good: int
    revoked: int
    expired: int
