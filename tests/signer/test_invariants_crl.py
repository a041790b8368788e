"""Invariants D3, D4, D6, D7 and D10 over a real ledger and directory: a fault is planted, and nobody gets to see it.

Each fault is planted twice: as things are, and with the checks taken out that stand against it. Then it is published.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec

from _fastpath.crl import encode_crl
from _fastpath.crl_reader import Crl
from signer.crl import algorithms
from signer.crl.build import CrlEntry, CrlFields, CrlSigner, build_shard
from signer.crl.job import ShardOutcome, ShardStatus
from signer.crl.preflight import PreflightError, preflight
from signer.ledger.ledger import Ledger
from signer.ledger.values import ShardSnapshot
from tests.signer.crl_authority import SoftwareKey, crl_fields, make_authority
from tests.signer.ledgers import NOW, YEAR, certificate_row
from tests.signer.works import FakeClock, Works

INTERVAL = 14_400
SERIALS = [bytes([0x20 + number, number]) for number in range(40)]
NEW = b"\x7e\x01"  # revoked since the live CRL
VICTIM = SERIALS[7]

Build = Callable[[CrlSigner, CrlFields, Iterable[CrlEntry]], bytes]
Read = Callable[
    [int, Iterator[CrlEntry]], Iterator[CrlEntry]
]  # the number of the reading, from 0, and what it gives


def read_well(reading: int, entries: Iterator[CrlEntry]) -> Iterator[CrlEntry]:
    return entries


@dataclass(frozen=True, slots=True)
class Fault:
    """What goes wrong between ledger and directory, which check says so, and which others would too."""

    says: str
    seen: Callable[[bytes], bool]  # in the CRL
    checks: tuple[str, ...]
    build: Build = build_shard
    read: Read = read_well


def serials(data: bytes) -> list[bytes]:
    return [entry[0] for entry in Crl(data)]


def look_back(reading: int, entries: Iterator[CrlEntry]) -> Iterator[CrlEntry]:
    return (entry for entry in entries if entry[0] != VICTIM)


def nothing(reading: int, entries: Iterator[CrlEntry]) -> Iterator[CrlEntry]:
    return iter(())


def cut_at(position: int) -> Read:
    """The stream that is built from ends early; the one that is compared with does not."""

    def read(reading: int, entries: Iterator[CrlEntry]) -> Iterator[CrlEntry]:
        whole = list(entries)
        return iter(whole[:position] if reading == 0 else whole)

    return read


def twice(reading: int, entries: Iterator[CrlEntry]) -> Iterator[CrlEntry]:
    for entry in entries:
        yield from [entry] * (2 if entry[0] == VICTIM else 1)


def on_hold(reading: int, entries: Iterator[CrlEntry]) -> Iterator[CrlEntry]:
    for serial, time, reason in entries:
        yield serial, time, 6 if serial == VICTIM else reason


def with_double_slash(signer: CrlSigner, fields: CrlFields, entries: Iterable[CrlEntry]) -> bytes:
    assert fields.distribution_point_url is not None
    url = fields.distribution_point_url.replace("/demo/", "//demo/")
    return build_shard(signer, replace(fields, distribution_point_url=url), entries)


def without_distribution_point(signer: CrlSigner, fields: CrlFields, entries: Iterable[CrlEntry]) -> bytes:
    return build_shard(signer, replace(fields, distribution_point_url=None), entries)


def under_another_name(signer: CrlSigner, fields: CrlFields, entries: Iterable[CrlEntry]) -> bytes:
    """The key is the right one: the CA has two certificates."""
    other = make_authority(name="Another CA").certificate
    identifier = x509.SubjectKeyIdentifier.from_public_key(_public_key(signer)).digest
    data = build_shard(replace(signer, certificate=other), fields, entries)
    return _signed(signer, data, _key_identifier(other), identifier)


def under_another_key_identifier(signer: CrlSigner, fields: CrlFields, entries: Iterable[CrlEntry]) -> bytes:
    return _signed(
        signer, build_shard(signer, fields, entries), _key_identifier(signer.certificate), bytes(20)
    )


def with_half_a_digest(signer: CrlSigner, fields: CrlFields, entries: Iterable[CrlEntry]) -> bytes:
    """Right as long as the CRL is small, as at Certum in 2018."""
    key = SoftwareKey(signer.key.signature_algorithm, lambda data: signer.key.sign_der(data[:1_000]))
    return build_shard(replace(signer, key=key), fields, entries)


def with_reasons_as_they_come(signer: CrlSigner, fields: CrlFields, entries: Iterable[CrlEntry]) -> bytes:
    """The writer refuses certificateHold: it is put in afterwards, and signed."""
    data = build_shard(
        signer, fields, [(serial, time, 1 if reason == 6 else reason) for serial, time, reason in entries]
    )
    tbs = Crl(data).tbs_cert_list
    victim = tbs[tbs.index(VICTIM) :]
    reason = victim.index(b"\x0a\x01\x01")
    return _signed(signer, data, victim[: reason + 3], victim[:reason] + b"\x0a\x01\x06")


def _signed(signer: CrlSigner, data: bytes, old: bytes, new: bytes) -> bytes:
    crl = Crl(data)
    assert crl.tbs_cert_list.count(old) == 1
    tbs = crl.tbs_cert_list.replace(old, new)
    return encode_crl(tbs, crl.signature_algorithm, signer.key.sign_der(tbs))


def _key_identifier(certificate: x509.Certificate) -> bytes:
    return certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest


def _public_key(signer: CrlSigner) -> ec.EllipticCurvePublicKey:
    key = signer.certificate.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    return key


@dataclass(frozen=True, slots=True)
class Press:
    """One issuer with one shard, whose CRL of 40 entries is live; one more has been revoked since."""

    works: Works
    live: Path

    def build(self) -> ShardOutcome:
        job = self.works.context.crl_job("demo")
        (outcome,) = job.build(job.shards(), lambda outcome: None)
        return outcome


@pytest.fixture
def press(tmp_path: Path) -> Iterator[Press]:
    clock = FakeClock()
    works = Works(tmp_path, None, clock, shards=1)
    with works.context:
        works.add(certificate_row(serial, NOW - 60, reason=1, not_after=NOW + YEAR) for serial in SERIALS)
        made = Press(works, Path(works.context.settings.objects_target) / "crl" / "demo" / "0-0.crl")
        assert made.build().status is ShardStatus.PUBLISHED
        works.add([certificate_row(NEW, NOW - 50, reason=1, not_after=NOW + YEAR)])
        clock.pass_time(INTERVAL)
        yield made


def plant(fault: Fault, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the job build and read as the fault does."""
    reading = iter(range(2))
    snapshot = Ledger.shard_snapshot

    @contextmanager
    def faulty(*arguments: Any, **named: Any) -> Iterator[ShardSnapshot]:
        with snapshot(*arguments, **named) as good:
            yield replace(good, entries=lambda: fault.read(next(reading), good.entries()))

    monkeypatch.setattr(Ledger, "shard_snapshot", faulty)
    monkeypatch.setattr("signer.crl.job.build_shard", fault.build)


def remove(checks: Iterable[str], monkeypatch: pytest.MonkeyPatch) -> None:
    for check in checks:
        monkeypatch.setattr(f"signer.crl.preflight.{check}", lambda *arguments: None)


def refused(press: Press, fault: Fault, monkeypatch: pytest.MonkeyPatch) -> None:
    """As things are: the live CRL stays, octet for octet."""
    before = press.live.read_bytes()
    plant(fault, monkeypatch)
    outcome = press.build()
    assert outcome.status is ShardStatus.REFUSED
    assert f"CRL preflight, {fault.says}:" in str(outcome.message)
    assert press.live.read_bytes() == before


def published(press: Press, fault: Fault, monkeypatch: pytest.MonkeyPatch) -> bytes:
    """With the checks taken out that stand against it."""
    plant(fault, monkeypatch)
    remove(fault.checks, monkeypatch)
    outcome = press.build()
    assert outcome.status is ShardStatus.PUBLISHED, outcome.message
    data = press.live.read_bytes()
    assert fault.seen(data)
    return data


LOOK_BACK = Fault(
    "vanished entries", lambda data: VICTIM not in serials(data), ("check_vanished",), read=look_back
)
EMPTIED = Fault("vanished entries", lambda data: serials(data) == [], ("check_vanished",), read=nothing)
SHORT = ("check_entries", "check_vanished")
CUTS = [
    Fault("entries", lambda data, count=position: len(serials(data)) == count, SHORT, read=cut_at(position))  # type: ignore[misc]
    for position in range(0, 41, 8)
]
SLASH = Fault("extensions", lambda data: b"//demo/" in data, ("check_extensions",), build=with_double_slash)
NAME = Fault("issuer", lambda data: b"Another CA" in data, ("check_issuer",), build=under_another_name)
DIGEST = Fault("signature", lambda data: len(data) > 1_000, ("check_signature",), build=with_half_a_digest)
TEMPLATES = {
    "reason": Fault(
        "reasons",
        lambda data: b"\x0a\x01\x06" in data,
        ("check_reasons", "check_lint"),
        build=with_reasons_as_they_come,
        read=on_hold,
    ),
    "duplicate": Fault("order", lambda data: serials(data).count(VICTIM) == 2, ("check_order",), read=twice),
    "key identifier": Fault(
        "issuer", lambda data: bytes(20) in data, ("check_issuer",), build=under_another_key_identifier
    ),
    "distribution point": Fault(
        "extensions",
        lambda data: b"http:" not in data,
        ("check_extensions",),
        build=without_distribution_point,
    ),
}
every_template = pytest.mark.parametrize("fault", TEMPLATES.values(), ids=TEMPLATES)
every_cut = pytest.mark.parametrize("fault", CUTS, ids=lambda fault: "")


@pytest.mark.conformance("C-18")
@pytest.mark.invariant("D3", "D4")
def test_an_entry_that_leaves_before_its_time(press: Press, monkeypatch: pytest.MonkeyPatch) -> None:
    """D3: a sign error in the look-back, so that both readings lack an entry that is in force."""
    refused(press, LOOK_BACK, monkeypatch)


def test_an_entry_that_leaves_before_its_time_guard(press: Press, monkeypatch: pytest.MonkeyPatch) -> None:
    """D3 with the difference gate removed."""
    published(press, LOOK_BACK, monkeypatch)


@every_cut
@pytest.mark.conformance("C-19")
@pytest.mark.invariant("D4")
def test_a_stream_that_ends_early(press: Press, fault: Fault, monkeypatch: pytest.MonkeyPatch) -> None:
    """D4: at any point, also where only the newest entry is lost."""
    refused(press, fault, monkeypatch)


@every_cut
def test_a_stream_that_ends_early_guard(press: Press, fault: Fault, monkeypatch: pytest.MonkeyPatch) -> None:
    """D4 without the comparison with the ledger and the difference gate."""
    published(press, fault, monkeypatch)


@pytest.mark.conformance("C-19")
@pytest.mark.invariant("D3", "D4")
def test_nothing_after_something(press: Press, monkeypatch: pytest.MonkeyPatch) -> None:
    """D4: the ledger suddenly has no entries."""
    refused(press, EMPTIED, monkeypatch)


def test_nothing_after_something_guard(press: Press, monkeypatch: pytest.MonkeyPatch) -> None:
    """D4 with the difference gate removed."""
    published(press, EMPTIED, monkeypatch)


@pytest.mark.conformance("C-09", "P-06")
@pytest.mark.invariant("D6")
def test_a_url_with_a_double_slash(press: Press, monkeypatch: pytest.MonkeyPatch) -> None:
    """D6: not the URL in certificates, octet for octet."""
    refused(press, SLASH, monkeypatch)


def test_a_url_with_a_double_slash_guard(press: Press, monkeypatch: pytest.MonkeyPatch) -> None:
    """D6 without the look at the distribution point."""
    published(press, SLASH, monkeypatch)


@pytest.mark.conformance("C-02", "U-06")
@pytest.mark.invariant("D6")
def test_another_name_of_the_ca(press: Press, monkeypatch: pytest.MonkeyPatch) -> None:
    """D6: the issuer is not the CA's subject, although its key signed."""
    refused(press, NAME, monkeypatch)


def test_another_name_of_the_ca_guard(press: Press, monkeypatch: pytest.MonkeyPatch) -> None:
    """D6 without the comparison of names, where nothing is live: else the live CRL's would be compared too."""
    press.live.unlink()
    published(press, NAME, monkeypatch)


@pytest.mark.conformance("A-05")
@pytest.mark.invariant("D7")
def test_a_signature_that_covers_the_beginning(press: Press, monkeypatch: pytest.MonkeyPatch) -> None:
    """D7: right for small CRLs, wrong for this one."""
    refused(press, DIGEST, monkeypatch)


def test_a_signature_that_covers_the_beginning_guard(press: Press, monkeypatch: pytest.MonkeyPatch) -> None:
    """D7 without verification: nobody can verify what is live."""
    data = published(press, DIGEST, monkeypatch)
    parsed, crl = x509.load_der_x509_crl(data), Crl(data)
    key = press.works.context.issuer("demo").certificate.public_key()
    with pytest.raises(InvalidSignature):
        algorithms.verify(parsed, key, crl.signature, crl.tbs_cert_list)


@every_template
@pytest.mark.conformance("C-07", "C-14", "C-15")
@pytest.mark.invariant("D10")
def test_a_bad_template(press: Press, fault: Fault, monkeypatch: pytest.MonkeyPatch) -> None:
    """D10: one for each rule."""
    refused(press, fault, monkeypatch)


@every_template
def test_a_bad_template_guard(press: Press, fault: Fault, monkeypatch: pytest.MonkeyPatch) -> None:
    """D10 without the rule."""
    published(press, fault, monkeypatch)


def nameless() -> Crl:
    """Preflight over the CRL of a CA without a name, which only pkilint minds."""
    signer = make_authority(name="")
    fields = crl_fields()
    return preflight(
        build_shard(signer, fields, []), signer, fields, [], live=None, now=NOW, may_vanish=lambda *_: False
    )


@pytest.mark.invariant("D10")
def test_what_only_the_linter_sees() -> None:
    """D10: a rule that no check of ours has."""
    with pytest.raises(PreflightError, match="CRL preflight, lint:"):
        nameless()


def test_what_only_the_linter_sees_guard(monkeypatch: pytest.MonkeyPatch) -> None:
    """D10 without the linter."""
    remove(["check_lint"], monkeypatch)
    assert len(nameless()) == 0
