"""CRLs through weeks of a CA's life, at a clock that tests set, against a plain model of what every CRL must say."""

import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from _fastpath.page import hash32
from signer.crl.build import CrlKey, CrlSigner
from signer.crl.service import CrlService
from signer.ledger.values import CertificateRow, PlacedBy, Placement, Publication, Revocation
from store.errors import OcspeedError
from tests.signer.crl_model import DAY, Model
from tests.signer.ledgers import NOW, revoke
from tests.signer.works import FakeClock, Works

HOUR = 3600
INTERVAL, REVOKED_WITHIN = 4 * HOUR, HOUR
STEP = HOUR  # the longest
LATER = "2026-09-22T14:13:20Z"  # NOW and a day: when the second series opens
SERIES = (
    f', series = [{{ url = "http://crl.example/b/{{series}}-{{index}}.crl", shards = 2, from = {LATER} }}]'
)


class FlakyKey:
    """The CA's key in a token that signs something else while `broken`."""

    def __init__(self, key: CrlKey) -> None:
        self._key = key
        self.signature_algorithm = key.signature_algorithm
        self.broken = False

    def sign_der(self, data: bytes) -> bytes:
        return self._key.sign_der(data + b"\0" if self.broken else data)


class Walk:
    """One CA, its events, its planted troubles and the model beside it."""

    def __init__(self, works: Works, clock: FakeClock, seed: int) -> None:
        self.works = works
        self.clock = clock
        self.random = random.Random(seed)
        self.model = Model({0: (3, NOW), 1: (2, NOW + DAY)}, works.context.issuer("demo").certificate)
        self.directory = works.directory / "objects/crl/demo"
        self.trouble: Callable[[], None] | None = None  # how to end the present one
        self.frozen = False
        self.certain: set[bytes] = set()  # came in themselves, so that they stay where they are
        self.calm_since = NOW
        self.troubles = 0
        self.service = self.start()

    def start(self) -> CrlService:
        """As a process that was just started."""
        service = self.works.context.crl_service("demo")
        signer = service._job._signer
        self.key = FlakyKey(signer.key)
        service._job._signer = CrlSigner(signer.certificate, self.key)
        return service

    def issue(self) -> None:
        """A few certificates that live for hours or days; some say themselves which CRL they are in."""
        rows = []
        now = self.clock.now()
        for _ in range(self.random.randrange(4)):
            serial = bytes([self.random.randrange(1, 128)]) + self.random.randbytes(
                self.random.choice((3, 15))
            )
            not_after = now + self.random.choice((1, 3, 8, 24, 60)) * HOUR + self.random.randrange(HOUR)
            self.model.issue(serial, not_after, now)
            rows.append(CertificateRow(hash32(serial), serial, not_after, None, 0))
        self.works.add(rows)

    def move(self) -> None:
        """A certificate that the hash had placed comes in itself and names another CRL."""
        movable = sorted(self.model.certificates.keys() - self.certain)
        if not movable:
            return
        serial = self.random.choice(movable)
        self.certain.add(serial)
        one = self.model.certificates[serial]
        home = self.random.choice([key for key in self.model.keys() if key[0] < 2])
        place = Placement(*home, PlacedBy.CERTIFICATE)
        row = CertificateRow(hash32(serial), serial, one.not_after, None, 0, place)
        self.works.ledger.add_certificates(self.works.issuer.id, [row], self.clock.now(), says_good=False)
        if home != one.homes[0][1]:
            one.homes.append((self.clock.now(), home))

    def revoke(self, share: float) -> None:
        """Some living ones, rarely an expired one; now and then a revoked one again, for the key this time."""
        now = self.clock.now()
        asked = []
        for serial, one in self.model.certificates.items():
            chance = share if one.not_after > now else share / 20
            if one.revocations and (one.revocations[-1][2] == 1 or self.random.random() > 0.02):
                continue
            if self.random.random() < chance:
                before = one.revocations[-1] if one.revocations else None
                reason = 1 if before else self.random.choice((0, 1, 3, 4, 5, 9))
                time = before[1] if before else now - self.random.randrange(HOUR)
                asked.append(Revocation(serial, time, reason))
                one.revocations.append((now, time, reason))
        revoke(self.works.ledger, self.works.issuer.id, asked, now)

    def plant(self) -> None:
        """Begin or end a trouble: a broken key, a damaged live CRL, a frozen publisher, a crash after publishing ..."""
        if self.trouble is not None:
            if self.random.random() < 0.15:
                self.trouble()
                self.trouble, self.calm_since = None, self.clock.now()
        elif self.random.random() < 0.06:
            self.troubles += 1
            self.trouble = self.random.choice(
                (self._break_key, self._damage, self._freeze, self._crash, self._shut)
            )()

    def _break_key(self) -> Callable[[], None]:
        self.key.broken = True
        return lambda: setattr(self.key, "broken", False)

    def _damage(self) -> Callable[[], None]:
        path = self.random.choice(sorted(self.directory.glob("*.crl")))
        data = path.read_bytes()
        path.write_bytes(b"damaged")

        def mend() -> None:
            path.write_bytes(data)

        return mend

    def _freeze(self) -> Callable[[], None]:
        self.frozen = True
        return lambda: setattr(self, "frozen", False)

    def _crash(self) -> Callable[[], None]:
        """It is published, and the ledger does not learn of it."""
        ledger = self.works.ledger

        def fails(publication: Publication) -> None:
            raise OcspeedError("planted", remedy="none")

        ledger.add_publication = fails  # type: ignore[method-assign]
        return lambda: delattr(ledger, "add_publication")

    def _shut(self) -> Callable[[], None]:
        """Nothing can be published."""
        catalogue = self.service._catalogue

        def fails(path: str, data: bytes) -> None:
            raise OcspeedError("planted", remedy="none")

        catalogue.targets.publish = fails  # type: ignore[method-assign]
        return lambda: vars(catalogue.targets).pop("publish", None)

    def step(self) -> None:
        self.clock.pass_time(self.random.randrange(60, STEP))
        self.plant()
        self.issue()
        if self.random.random() < 0.2:
            self.move()
        self.revoke(0.3 if self.random.random() < 0.03 else 0.02)
        if self.random.random() < 0.01:
            self.service = self.start()
        crashing = "add_publication" in vars(self.works.ledger)
        if not self.frozen:
            self.service.step(lambda outcome: None)
        self.model.look(
            self.directory, self.clock.now(), failed=frozenset(self.model.keys()) if crashing else frozenset()
        )
        self.check()

    def check(self) -> None:
        now = self.clock.now()
        assert self.model.unpublished(now, DAY) == []  # U-04, whatever happens
        assert self.model.oldest(now) <= 4 * DAY  # U-03
        calm = now - self.calm_since if self.trouble is None else 0
        if calm > HOUR + STEP:  # a refused CRL waits for an hour at most
            late = min(REVOKED_WITHIN + STEP, calm - HOUR - STEP)
            assert self.model.oldest(now) <= INTERVAL + STEP
            if late == REVOKED_WITHIN + STEP:
                assert self.model.unpublished(now, late) == []


@pytest.fixture
def walk(tmp_path: Path, clock: FakeClock) -> Iterator[Callable[[int], Walk]]:
    works = Works(tmp_path, "unix:///nowhere", clock)
    more = 'shards = 3, full_url = "http://crl.example/full.crl"' + SERIES
    with works.configured("shards = 3", more):

        def begin(seed: int) -> Walk:
            made = Walk(works, clock, seed)
            made.service.step(lambda outcome: None)
            assert made.model.look(made.directory, clock.now()) == 6
            return made

        yield begin


def finish(walk: Walk, days: int) -> None:
    """Each step checks everything; at the end it must have been a walk through something."""
    while walk.clock.now() < NOW + days * DAY:
        walk.step()
    revoked = {serial: one for serial, one in walk.model.certificates.items() if one.revocations}
    snapshot = walk.works.ledger.snapshot(walk.works.issuer.id, 0, 2**32 - 1)
    assert {row.serial for row in snapshot.rows if row.revoked} == set(revoked)
    versions = sum(len(each) for each in walk.model.versions.values())
    assert versions >= days * 6 * 6 // 2
    assert walk.troubles >= days // 2
    assert len(walk.model.gone()) >= 3 * days


@pytest.mark.conformance("C-18", "C-19", "U-03", "U-04")
@pytest.mark.invariant("D3")
def test_two_days(walk: Callable[[int], Walk]) -> None:
    """D3, D5, D8: entries stay until one CRL past the end, and the shards have what the ledger has, at every step."""
    finish(walk(3), 2)


@pytest.mark.slow
@pytest.mark.conformance("C-18", "C-19", "U-03", "U-04")
def test_sixty_days(walk: Callable[[int], Walk]) -> None:
    """The same for as long as a certificate of 47 days and its last CRL live."""
    finish(walk(2), 60)
