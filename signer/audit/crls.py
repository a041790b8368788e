"""The published CRLs of one issuer, target by target, against the ledger: each right by itself, and with its entries."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial

from cryptography import x509

from _fastpath.errors import MalformedDer
from signer.audit.patience import Patience
from signer.audit.report import Checked, Finding, Findings, Kind
from signer.config import CrlTable
from signer.crl.alarm import late
from signer.crl.build import CrlScope
from signer.crl.catalogue import Catalogue, Shard
from signer.crl.read import IDP, ReadCrl, read_crl
from signer.crl.verify_crl import Sight, crl_faults
from signer.crl.verify_set import check_complete
from signer.ledger.values import LedgerIssuer, Publication
from signer.stored import says_more
from store.clock import Clock
from store.errors import OcspeedError
from store.objects import Manifest, ObjectStore, decode_manifest, manifest_path, read_object
from store.text import rfc3339

__all__ = ["CrlAudit", "Place"]

# A CRL with such a fault proves nothing, whatever it says.
UNPROVEN = frozenset({"parse", "issuer", "algorithm", "signature"})


@dataclass(frozen=True, slots=True)
class Place:
    """One target, by the name that people know."""

    location: str
    store: ObjectStore


class CrlAudit:
    """Of one issuer, whoever signs its CRLs."""

    def __init__(
        self,
        catalogue: Catalogue,
        recorded: LedgerIssuer,
        certificate: x509.Certificate,
        table: CrlTable,
        places: list[Place],
        patience: Patience,
        clock: Clock,
    ) -> None:
        self._catalogue = catalogue
        self._ledger = catalogue.ledger
        self._issuer = recorded
        self._certificate = certificate
        self._table = table
        self._places = places
        self._patience = patience
        self._clock = clock
        self._shards = catalogue.shards()
        self._entries_of: dict[tuple[str, str], int] = {}  # by place and path

    @property
    def crl_count(self) -> int:
        """On all targets."""
        return len(self._shards) * len(self._places)

    def look(self, findings: Findings, checked: Checked, progress: Callable[[int], None]) -> None:
        """Every CRL on every target, then the lists of them, then their age."""
        for place in self._places:
            for shard in self._shards:
                findings.add(self._patience.settled(partial(self._at, place, shard)))
                progress(1)
            findings.add(self._patience.settled(partial(self._listed, place)))
        checked.crls, checked.crl_entries = len(self._entries_of), sum(self._entries_of.values())
        for one in late(self._ledger, self._issuer, self._table, self._clock.now()):
            if one.age is not None:
                message = f"the newest is {one.age} s old"
                findings.add([Finding(Kind.CRL_OVERDUE, self._issuer.name, message, url=one.url)])

    def _at(self, place: Place, shard: Shard) -> Iterator[Finding]:
        """What is wrong with the CRL of a shard at one place; read before the ledger is."""
        path = self._catalogue.path(shard)
        found = partial(Finding, issuer=self._issuer.name, url=self._catalogue.url(shard))
        try:
            there = read_object(place.store, path)
        except OcspeedError as error:
            yield found(Kind.CRL_MISSING, message=f"{place.location}: {error.message}")
            return
        latest = self._catalogue.latest(shard)
        if there is None:
            state = "was never published" if latest is None else "is not there"
            yield found(Kind.CRL_MISSING, message=f"{place.location}: {path} {state}")
            return
        try:
            crl = read_crl(there.data)
        except MalformedDer as error:
            yield found(Kind.CRL_FAULT, message=f"{place.location}: parse: {error}")
            return
        self._entries_of[place.location, path] = sum(1 for _ in crl.entries())
        faults = list(crl_faults(self._sight(shard, crl)))
        for check, message in faults:
            yield found(Kind.CRL_FAULT, message=f"{place.location}: {check}: {message}")
        if UNPROVEN.isdisjoint(check for check, _ in faults):
            for kind, message, serial in self._against(shard, crl, latest):
                yield found(kind, message=f"{place.location}: {message}", serial=serial)

    def _sight(self, shard: Shard, crl: ReadCrl) -> Sight:
        scope = CrlScope.CA_CERTIFICATES if self._table.offline else CrlScope.USER_CERTIFICATES
        return Sight(
            crl=crl,
            url=self._catalogue.url(shard),
            certificate=self._certificate,
            now=self._clock.now(),
            scope=scope if crl.extension(IDP) is None else None,
        )

    def _against(
        self, shard: Shard, crl: ReadCrl, latest: Publication | None
    ) -> Iterator[tuple[Kind, str, bytes | None]]:
        """A CRL that the CA signed, against what the ledger has of it and of its entries."""
        number, newest = crl.crl_number or 0, latest.crl_number if latest else 0
        taken = self._ledger.reserved_crl_number(self._issuer.id, shard[0].number, shard[1])
        # One above the newest was published by a build that was killed before it could record it: as good as any.
        if number > max(newest, taken):
            yield Kind.CRL_AHEAD, f"its number is {number}, the ledger knows none above {newest}", None
        elif number < newest:
            yield Kind.CRL_BEHIND, f"its number is {number}, the ledger published {newest}", None
        elif latest is not None and number == newest and crl.sha256 != latest.sha256:
            yield Kind.CRL_FAULT, f"number {number} is not the CRL that was published under it", None
        if not self._table.offline:  # then the ledger does not know its certificates
            generation = latest.generation if latest is not None and number == newest else 0
            yield from self._entries(shard, crl, generation)

    def _entries(
        self, shard: Shard, crl: ReadCrl, generation: int
    ) -> Iterator[tuple[Kind, str, bytes | None]]:
        """A5, R-21, D4: those of the ledger at `generation`, with time and reason. Later changes are not held against it."""
        left = {serial: (time, reason) for serial, time, reason in crl.entries()}
        made_at = crl.this_update_seconds or 0
        series, index = shard
        with self._ledger.revoked_entries(self._issuer.id, series.number, index) as recorded:
            for serial, time, reason, not_after, revoked_generation in recorded:
                stated = left.pop(serial, None)
                if stated == (time, reason) or revoked_generation > generation:
                    continue
                if stated is not None:
                    kind = Kind.CRL_ENTRY_UNKNOWN if says_more(stated, (time, reason)) else Kind.CRL_ENTRY
                    yield kind, f"it says {_shown(*stated)}, the ledger {_shown(time, reason)}", serial
                elif not_after >= made_at:  # an entry leaves after one CRL past the certificate's end (C-18)
                    yield Kind.CRL_ENTRY_MISSING, f"it lacks one {_shown(time, reason)}", serial
        for serial, stated in left.items():
            if fault := self._stranger(shard, serial, stated, generation):
                yield *fault, serial

    def _stranger(
        self, shard: Shard, serial: bytes, stated: tuple[int, int], generation: int
    ) -> tuple[Kind, str] | None:
        """An entry that the ledger does not have in this shard; None if it was moved since."""
        known = self._ledger.find(self._issuer.id, serial)
        if known is None or known.revocation_time is None:
            has = "knows no such certificate" if known is None else "has it as good"
            return Kind.CRL_ENTRY_UNKNOWN, f"it says {_shown(*stated)}, the ledger {has}"
        if (known.revoked_generation or 0) > generation:
            return None
        place = f"{known.series}-{known.shard_index}"
        return Kind.CRL_ENTRY, f"its entry belongs into shard {place}"

    def _listed(self, place: Place) -> Iterator[Finding]:
        """The manifest of a set that is complete."""
        latest = self._catalogue.publications()
        if any((series.number, index) not in latest for series, index in self._shards):
            return  # none is written before (P-09)
        path = manifest_path(self._issuer.name)
        try:
            there = read_object(place.store, path)
            manifest = decode_manifest(there.data) if there else None
        except OcspeedError as error:
            faults: Iterable[str] = [error.message]
        else:
            faults = self._manifest_faults(manifest, latest) if manifest else ["it is not there"]
        for fault in faults:
            yield Finding(Kind.MANIFEST, self._issuer.name, fault, url=f"{place.location.rstrip('/')}/{path}")

    def _manifest_faults(
        self, manifest: Manifest, latest: dict[tuple[int, int], Publication]
    ) -> Iterator[str]:
        for finding in check_complete(self._issuer.name, manifest):
            yield finding.message
        for shard in manifest.shards:
            known = latest.get((shard.series, shard.shard_index))
            if known is None or (known.crl_number, known.sha256.hex()) != (shard.crl_number, shard.sha256):
                number = "none" if known is None else f"number {known.crl_number}"
                yield f"{shard.path}: it has number {shard.crl_number}, the ledger {number}"


def _shown(time: int, reason: int) -> str:
    return f"revoked at {rfc3339(time)} for reason {reason}"
