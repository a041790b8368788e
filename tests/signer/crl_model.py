"""What CRLs must say, worked out from the events alone: no ledger, no code of the signer, every CRL read by cryptography."""

import hashlib
from bisect import bisect_right
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes

__all__ = ["FULL", "Key", "Model", "Version", "read", "shard_of"]

Key = tuple[int, int]
FULL: Key = (65_534, 0)
NUMBERS = {"key_compromise": 1, "affiliation_changed": 3, "superseded": 4, "cessation_of_operation": 5,
           "privilege_withdrawn": 9}  # fmt: skip
DAY = 86_400


@dataclass
class Certificate:
    """One certificate with everything that was ever said of it, each with the moment it was recorded."""

    not_after: int
    homes: list[tuple[int, Key]]
    revocations: list[tuple[int, int, int]] = field(default_factory=list)  # recorded, revocation time, reason

    def home(self, at: int) -> tuple[int, Key]:
        """How often it had moved, and where it was."""
        moved = bisect_right([when for when, _ in self.homes], at)
        return moved, self.homes[moved - 1][1]

    def revoked(self, at: int) -> int:
        """How many revocations were recorded by then."""
        return bisect_right([when for when, _, _ in self.revocations], at)


@dataclass
class Version:
    """One published CRL as it was found."""

    number: int
    this_update: int
    next_update: int
    entries: dict[bytes, tuple[int, int]]


def shard_of(serial: bytes, count: int) -> int:
    """By hash, among so many."""
    return int.from_bytes(hashlib.sha256(serial).digest()[:4]) % count


def read(data: bytes, key: CertificatePublicKeyTypes) -> Version:
    crl = x509.load_der_x509_crl(data)
    assert crl.is_signature_valid(key)  # type: ignore[arg-type]
    entries = {}
    for entry in crl:
        try:
            reason = NUMBERS[entry.extensions.get_extension_for_class(x509.CRLReason).value.reason.name]
        except x509.ExtensionNotFound:
            reason = 0
        serial = entry.serial_number.to_bytes(max(1, (entry.serial_number.bit_length() + 7) // 8))
        entries[serial] = (int(entry.revocation_date_utc.timestamp()), reason)
    assert len(entries) == len(crl)
    number = crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
    assert crl.next_update_utc is not None
    dates = (int(crl.last_update_utc.timestamp()), int(crl.next_update_utc.timestamp()))
    return Version(number, *dates, entries)


class Model:
    """Series by number with their count and first moment; certificates; every version of every CRL."""

    def __init__(self, counts: dict[int, tuple[int, int]], authority: x509.Certificate) -> None:
        self._key = authority.public_key()
        self.series = counts
        self.certificates: dict[bytes, Certificate] = {}
        self.versions: dict[Key, list[Version]] = {}
        self._octets: dict[Key, bytes] = {}
        # Entries that a CRL had after the certificate's end: at which state of it, and whether the build succeeded.
        self._past: dict[tuple[Key, bytes], tuple[int, int, bool]] = {}

    def keys(self) -> list[Key]:
        return [(number, index) for number, (count, _) in self.series.items() for index in range(count)] + [
            FULL
        ]

    def issue(self, serial: bytes, not_after: int, now: int) -> Key:
        """By hash into the newest series that is open."""
        number = max(one for one, (_, opened) in self.series.items() if opened <= now)
        home = (number, shard_of(serial, self.series[number][0]))
        self.certificates[serial] = Certificate(not_after, [(now, home)])
        return home

    def look(self, directory: Path, now: int, *, failed: frozenset[Key] = frozenset()) -> int:
        """Take in what is published now, each new version checked whole; how many there are. `failed`: built, not done."""
        found = 0
        for key in self.keys():
            name = "full" if key == FULL else f"{key[0]}-{key[1]}"
            path = directory / f"{name}.crl"
            data = path.read_bytes() if path.exists() else b""
            if data[:1] == b"\x30" and data != self._octets.get(key):
                self._octets[key] = data
                self._take(key, read(data, self._key), now, key not in failed)
                found += 1
        return found

    def _take(self, key: Key, version: Version, now: int, done: bool) -> None:
        before = self.versions.setdefault(key, [])
        if before:
            assert version.number > before[-1].number and version.this_update > before[-1].this_update
        assert version.this_update <= now < version.next_update
        required, optional = self._expected(key, version.this_update)
        missing = required.keys() - version.entries.keys()
        surplus = version.entries.keys() - required.keys() - optional.keys()
        assert not missing, f"{key} number {version.number} lacks {[serial.hex() for serial in missing]}"
        assert not surplus, (
            f"{key} number {version.number} should not have {[serial.hex() for serial in surplus]}"
        )
        for serial, said in version.entries.items():
            assert said == (required | optional)[serial], f"{key}: {serial.hex()} is {said}"
        before.append(version)
        for serial in version.entries:
            one = self.certificates[serial]
            if version.this_update > one.not_after:
                state = self._state(one, version.this_update)
                known = self._past.get((key, serial))
                self._past[key, serial] = (*state, done or known == (*state, True))

    def _state(self, one: Certificate, at: int) -> tuple[int, int]:
        """An entry that moves is new, in the full CRL too."""
        return one.revoked(at), one.home(at)[0]

    def _expected(
        self, key: Key, at: int
    ) -> tuple[dict[bytes, tuple[int, int]], dict[bytes, tuple[int, int]]]:
        """What has to be in the CRL of that moment, and what may be: seen past its end only by a build that failed."""
        required, optional = {}, {}
        for serial, one in self.certificates.items():
            revoked = one.revoked(at)
            if not revoked or (key != FULL and one.home(at)[1] != key):
                continue
            said = one.revocations[revoked - 1][1:]
            past = self._past.get((key, serial))
            if past is None or past[:2] != self._state(one, at):
                required[serial] = said
            elif not past[2]:
                optional[serial] = said
        return required, optional

    def unpublished(self, now: int, limit: int) -> list[str]:
        """Revocations recorded more than `limit` seconds ago that no CRL of their shard has had since (U-04)."""
        found = []
        for serial, one in self.certificates.items():
            for recorded, _, _ in one.revocations[-1:]:
                for key in (one.homes[-1][1], FULL):
                    since = recorded if key == FULL else max(recorded, one.homes[-1][0])
                    if now - since > limit and self.versions[key][-1].this_update < since:
                        found.append(f"{serial.hex()} in {key}")
        return found

    def gone(self) -> set[bytes]:
        """Entries that a CRL had and the newest of its path has no more."""
        return {
            serial
            for versions in self.versions.values()
            for version in versions
            for serial in version.entries.keys() - versions[-1].entries.keys()
        }

    def oldest(self, now: int) -> int:
        """The age of the oldest CRL in seconds (U-03)."""
        return max(now - self.versions[key][-1].this_update for key in self.keys())
