"""`import-signed`: CRLs of an offline CA, made by cryptography as a ceremony would; what is refused, told and published."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp

from signer.commands.crl import build
from signer.commands.signed import import_signed
from signer.commands.status import status
from signer.context import Context
from signer.crl.build import CrlSigner
from signer.run import _tell_of_crls
from store.errors import ConfigError, OcspeedError, UsageError
from store.objects import decode_manifest
from tests.signer.crl_authority import make_authority
from tests.signer.ledgers import NOW
from tests.signer.works import DAY, FakeClock

FULL, AUTHORITIES = "http://crl.example/full.crl", "http://crl.example/ca.crl"
CONFIG = f"""\
[[issuer]]
name = "root"
certificate = "ca.pem"
ocsp = {{ enabled = false }}
crl = {{ offline = true, full_url = "{FULL}", ca_url = "{AUTHORITIES}" }}
"""
ROOT = make_authority()
KEY = ec.derive_private_key(0x1234567890ABCDEF, ec.SECP256R1())  # that of every such authority


def moment(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


@dataclass
class Ceremony:
    """The directory of ocsp.toml, the command over it, and CRLs signed elsewhere."""

    directory: Path
    clock: FakeClock
    capsys: pytest.CaptureFixture[str]
    errors: str = ""

    def sign(
        self,
        number: int,
        *,
        url: str | None = None,
        this_update: int | None = None,
        days: int = 300,
        entries: dict[int, x509.ReasonFlags | None] | None = None,
        signer: CrlSigner = ROOT,
    ) -> Path:
        """A CRL over CA certificates in DER; a full one without a URL."""
        start = self.clock.now() - 60 if this_update is None else this_update
        name = signer.certificate.subject
        builder = x509.CertificateRevocationListBuilder(name, moment(start), moment(start + days * DAY - 1))
        identifier = signer.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
        key = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier)
        builder = builder.add_extension(key, False).add_extension(x509.CRLNumber(number), False)
        if url is not None:
            point = x509.IssuingDistributionPoint(
                [x509.UniformResourceIdentifier(url)], None, False, True, None, False, False
            )
            builder = builder.add_extension(point, True)
        for serial, reason in (entries or {}).items():
            entry = x509.RevokedCertificateBuilder(serial, moment(start - DAY))
            if reason is not None:
                entry = entry.add_extension(x509.CRLReason(reason), False)
            builder = builder.add_revoked_certificate(entry.build())
        path = self.directory / f"{number}{'-ca' if url else ''}.crl"
        path.write_bytes(builder.sign(KEY, hashes.SHA256()).public_bytes(Encoding.DER))
        return path

    def bring(self, *paths: Path, code: int = 0, dry_run: bool = False) -> list[Any]:
        file = self.directory / "ocsp.toml"
        found = import_signed(file, paths, issuer="root", dry_run=dry_run, as_json=True, clock=self.clock)
        assert found == code
        out, self.errors = self.capsys.readouterr()
        return [json.loads(line) for line in out.splitlines() if line.startswith("{")]

    def refused(self, *paths: Path) -> str:
        before = self.published()
        with pytest.raises(OcspeedError) as caught:
            self.bring(*paths)
        assert self.published() == before
        return caught.value.message

    def published(self) -> dict[str, bytes]:
        found = self.directory / "objects/crl/root"
        return {path.name: path.read_bytes() for path in sorted(found.glob("*.crl"))}


@pytest.fixture
def ceremony(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Ceremony:
    (tmp_path / "ocsp.toml").write_text(CONFIG)
    (tmp_path / "ca.pem").write_bytes(ROOT.certificate.public_bytes(Encoding.PEM))
    return Ceremony(tmp_path, FakeClock(), capsys)


REASON = x509.ReasonFlags.superseded


@pytest.mark.conformance("C-06", "C-11", "C-12", "R-19")
def test_they_are_published_as_they_are(ceremony: Ceremony) -> None:
    full, authorities = (
        ceremony.sign(7, entries={5: REASON}),
        ceremony.sign(3, url=AUTHORITIES, entries={5: REASON}),
    )
    tried = ceremony.bring(full, authorities, dry_run=True)
    assert ([one["status"] for one in tried], ceremony.published()) == (["fit", "fit"], {})
    found = ceremony.bring(full, authorities)
    assert [(one["url"], one["status"], one["crl_number"], one["remarks"]) for one in found] == [
        (FULL, "published", 7, []),
        (AUTHORITIES, "published", 3, []),
    ]
    assert ceremony.published() == {"full.crl": full.read_bytes(), "ca.crl": authorities.read_bytes()}
    manifest = decode_manifest((ceremony.directory / "objects/crl/root/manifest.json").read_bytes())
    assert [(shard.url, shard.crl_number, shard.entries) for shard in manifest.shards] == [
        (FULL, 7, 1),
        (AUTHORITIES, 3, 1),
    ]
    assert [one["status"] for one in ceremony.bring(full, authorities)] == ["current"] * 2
    pem = ceremony.directory / "8.pem"
    ceremony.clock.pass_time(DAY)
    later = x509.load_der_x509_crl(ceremony.sign(8, entries={5: REASON}).read_bytes())
    pem.write_bytes(later.public_bytes(Encoding.PEM))
    assert ceremony.bring(pem)[0]["status"] == "published"
    assert ceremony.published()["full.crl"] == later.public_bytes(Encoding.DER)
    with Context.open(ceremony.directory / "ocsp.toml", ceremony.clock) as context:
        journal = [
            entry.detail for entry in context.ledger.journal_entries() if entry.event == "import-signed"
        ]
    assert [entry["crl_number"] for entry in journal] == [7, 3, 8]


@pytest.mark.conformance("C-08", "U-06")
def test_numbers_and_times_only_grow(ceremony: Ceremony) -> None:
    """D1: also where the file was lost meanwhile, for the ledger knows."""
    ceremony.bring(ceremony.sign(7))
    ceremony.clock.pass_time(DAY)
    for lost in (False, True):
        if lost:
            (ceremony.directory / "objects/crl/root/full.crl").unlink()
        assert "number: 6 does not follow 7" in ceremony.refused(ceremony.sign(6))
        assert "number: 7 does not follow 7" in ceremony.refused(ceremony.sign(7))
        assert "dates: thisUpdate" in ceremony.refused(ceremony.sign(8, this_update=NOW - 60))
    assert ceremony.bring(ceremony.sign(8))[0]["status"] == "published"


@pytest.mark.conformance("U-11")
def test_the_end_of_the_ca_certificate_is_told(ceremony: Ceremony) -> None:
    """There may be another one with this key."""
    ceremony.clock.seconds = int(ROOT.certificate.not_valid_after_utc.timestamp()) + 1
    (found,) = ceremony.bring(ceremony.sign(1))
    assert found["status"] == "published"
    assert [remark.partition(" at ")[0] for remark in found["remarks"]] == [
        "CA certificate: the CA certificate ended"
    ]


@pytest.mark.conformance("C-02", "C-06", "C-09", "A-05")
def test_what_is_refused(ceremony: Ceremony) -> None:
    good = ceremony.sign(1)
    assert "issuer" in ceremony.refused(ceremony.sign(2, signer=make_authority(name="Another CA")))
    assert "stale" in ceremony.refused(ceremony.sign(2, this_update=NOW - 400 * DAY))
    assert "ahead of the clock" in ceremony.refused(ceremony.sign(2, this_update=NOW + 60))
    assert "nextUpdate is" in ceremony.refused(ceremony.sign(2, days=366))
    assert "is none of" in ceremony.refused(ceremony.sign(2, url="http://crl.example/other.crl"))
    assert "is above" in ceremony.refused(ceremony.sign(2**63))
    damaged = bytearray(good.read_bytes())
    damaged[-3] ^= 1
    (ceremony.directory / "bad.crl").write_bytes(damaged)
    assert "signature" in ceremony.refused(ceremony.directory / "bad.crl")
    # One bad file and the good one beside it is not published either.
    ceremony.refused(good, ceremony.directory / "bad.crl")
    assert ceremony.bring(good)[0]["status"] == "published"


@pytest.mark.conformance("C-16")
def test_what_is_told_and_published_all_the_same(ceremony: Ceremony) -> None:
    ceremony.bring(ceremony.sign(1, entries={5: REASON, 6: REASON}))
    ceremony.clock.pass_time(DAY)
    (one,) = ceremony.bring(ceremony.sign(2, entries={5: None}))
    assert one["status"] == "published"
    assert [remark.split(":")[0] for remark in one["remarks"]] == ["reasons", "vanished entries"]
    assert "serial 05: reasonCode absent" in ceremony.errors
    assert "first serial 06: have they expired?" in ceremony.errors


def test_other_files_are_refused_by_name(ceremony: Ceremony) -> None:
    path = ceremony.directory / "file"
    for data, message in (
        (b"text", "neither a CRL nor an OCSPResponse"),
        (b"-----BEGIN X509 CRL-----\n", "no CRL in PEM"),
        (b"", "neither a CRL nor an OCSPResponse"),
    ):
        path.write_bytes(data)
        assert f"{path}: {message}" in ceremony.refused(path)
    assert "cannot be read" in ceremony.refused(ceremony.directory / "absent")


def test_an_ocsp_response_is_refused(ceremony: Ceremony) -> None:
    path = ceremony.directory / "response.der"
    builder = ocsp.OCSPResponseBuilder().add_response(
        ROOT.certificate, ROOT.certificate, hashes.SHA1(), ocsp.OCSPCertStatus.GOOD, moment(NOW), moment(NOW + DAY), None, None
    )  # fmt: skip
    signed = builder.responder_id(ocsp.OCSPResponderEncoding.HASH, ROOT.certificate).sign(
        KEY, hashes.SHA256()
    )
    path.write_bytes(signed.public_bytes(Encoding.DER))
    assert "issuer root has no OCSP responses that are brought" in ceremony.refused(path)


def test_a_ca_that_signs_here_brings_nothing(ceremony: Ceremony) -> None:
    file = ceremony.directory / "ocsp.toml"
    file.write_text(CONFIG.replace("offline = true,", 'key = "ca.key",'))
    with pytest.raises(ConfigError, match="issuer root signs its CRLs here"):
        ceremony.bring(ceremony.sign(1))


def test_nothing_is_built_for_an_offline_ca(ceremony: Ceremony) -> None:
    ceremony.bring(ceremony.sign(1))
    file = ceremony.directory / "ocsp.toml"
    assert build(file, issuer=None, dry_run=False, as_json=True, quiet=True) == 0
    with pytest.raises(ConfigError, match="import-signed"):
        build(file, issuer="root", dry_run=False, as_json=True, quiet=True)
    with pytest.raises(UsageError):
        ceremony.bring(ceremony.directory / "absent")


def test_the_alarm_is_60_days_ahead(ceremony: Ceremony) -> None:
    file = ceremony.directory / "ocsp.toml"
    ceremony.bring(ceremony.sign(1), ceremony.sign(1, url=AUTHORITIES))
    for after, code in ((239 * DAY, 0), (2 * DAY, 1)):
        ceremony.clock.pass_time(after)
        assert status(file, as_json=True, clock=ceremony.clock) == code
        with Context.open(file, ceremony.clock) as context:
            _tell_of_crls(context, context.clock.now())
    out = ceremony.capsys.readouterr().out
    assert out.count("crls overdue") == 1
    ceremony.bring(ceremony.sign(2), ceremony.sign(2, url=AUTHORITIES))
    assert status(file, as_json=True, clock=ceremony.clock) == 0
