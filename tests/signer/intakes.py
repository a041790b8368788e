"""What operators bring to `ocsp-signer import`: a CA that issues, files of every format, and the command itself."""

import json
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import AuthorityInformationAccessOID, NameOID

from _fastpath.certid import IssuerID
from signer.commands.certificates import import_file
from signer.intake.rows import REASONS
from signer.intake.scope import Scope, Shards
from signer.ledger.crls import planned
from signer.ledger.values import CrlPlan, SeriesSpec
from store.model import Issuer, public_key_bits, subject_name
from tests.signer.ledgers import NOW, YEAR
from tests.signer.works import FakeClock

__all__ = ["FORMATS", "Brought", "Ca", "Place", "ocsp_url", "scope_of", "shard_url", "write_rows"]

SHARDS = 4
PATTERN = "http://crl.example/{issuer}/{series}-{index}.crl"
FORMATS = ("openssl-index", "csv", "ndjson")  # of rows
CONFIG = """\
[[issuer]]
name = "r1"
certificate = "ca.pem"
signer = {{ key = "responder.key", certificate = "responder.pem" }}
crl = {{ key = "ca.key", shards = {shards}, url = "{pattern}"{more} }}
"""
NAMES = {number: name for name, number in REASONS.items()}


def shard_url(index: int, issuer: str = "r1", series: int = 0) -> str:
    return f"http://crl.example/{issuer}/{series}-{index}.crl"


def rfc3339(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class Brought(NamedTuple):
    """One certificate as a CA's records have it."""

    serial: bytes
    not_after: int = NOW + YEAR
    revoked_at: int | None = None
    reason: int = 0


def write_rows(format: str, path: Path, rows: Iterable[Brought]) -> list[bytes]:
    """Write a file of one row a line; the lines it has."""
    lines = [_WRITERS[format](row) for row in rows]
    if format == "csv":
        lines.insert(0, "serial,not_after,revoked_at,reason")
    encoded = [line.encode() + b"\n" for line in lines]
    path.write_bytes(b"".join(encoded))
    return encoded


def _index(row: Brought) -> str:
    end = datetime.fromtimestamp(row.not_after, UTC).strftime("%Y%m%d%H%M%SZ")
    status, revocation = "V", ""
    if row.revoked_at is not None:
        status, revocation = "R", datetime.fromtimestamp(row.revoked_at, UTC).strftime("%Y%m%d%H%M%SZ")
        revocation += f",{NAMES[row.reason]}" if row.reason else ""
    return "\t".join((status, end, revocation, row.serial.hex().upper(), "unknown", "/CN=x"))


def _csv(row: Brought) -> str:
    revoked = "" if row.revoked_at is None else rfc3339(row.revoked_at)
    reason = NAMES[row.reason] if row.revoked_at is not None else ""
    return f"{row.serial.hex()},{rfc3339(row.not_after)},{revoked},{reason}"


def _ndjson(row: Brought) -> str:
    fields: dict[str, Any] = {"serial": row.serial.hex(), "not_after": rfc3339(row.not_after)}
    if row.revoked_at is not None:
        fields |= {"revoked_at": rfc3339(row.revoked_at), "reason": row.reason}
    return json.dumps(fields)


_WRITERS = {"openssl-index": _index, "csv": _csv, "ndjson": _ndjson}


@dataclass(frozen=True)
class Ca:
    """A CA with its key."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @classmethod
    def make(cls, common_name: str = "An issuing CA") -> "Ca":
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
        builder = _valid(x509.CertificateBuilder(name, name, key.public_key(), 77), NOW + 10 * YEAR)
        builder = builder.add_extension(x509.BasicConstraints(True, None), critical=True)
        return cls(key, builder.sign(key, hashes.SHA256()))

    def issue(
        self,
        serial: int,
        urls: Sequence[str] = (),
        *,
        not_after: int = NOW + YEAR,
        precertificate: bool = False,
        extensions: Sequence[x509.ExtensionType] = (),
    ) -> x509.Certificate:
        """A certificate whose CRL distribution point has these URLs; none without any."""
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"{serial}.example")])
        builder = x509.CertificateBuilder(self.certificate.subject, name, self.key.public_key(), serial)
        builder = _valid(builder, not_after)
        if urls:
            names = [x509.UniformResourceIdentifier(url) for url in urls]
            points = x509.CRLDistributionPoints([x509.DistributionPoint(names, None, None, None)])
            builder = builder.add_extension(points, critical=False)
        for extension in extensions:
            builder = builder.add_extension(extension, critical=False)
        if precertificate:
            builder = builder.add_extension(x509.PrecertPoison(), critical=True)
        return builder.sign(self.key, hashes.SHA256())

    def pem(self, serial: int, urls: Sequence[str] = (), **options: Any) -> bytes:
        return self.issue(serial, urls, **options).public_bytes(Encoding.PEM)

    def der(self, serial: int, urls: Sequence[str] = (), **options: Any) -> bytes:
        return self.issue(serial, urls, **options).public_bytes(Encoding.DER)


def ocsp_url() -> x509.AuthorityInformationAccess:
    url = x509.UniformResourceIdentifier("http://ocsp.example/")
    return x509.AuthorityInformationAccess([x509.AccessDescription(AuthorityInformationAccessOID.OCSP, url)])


def _valid(builder: x509.CertificateBuilder, not_after: int) -> x509.CertificateBuilder:
    end = datetime.fromtimestamp(not_after, UTC)
    return builder.not_valid_before(datetime(2020, 1, 1, tzinfo=UTC)).not_valid_after(end)


def scope_of(ca: Ca) -> Scope:
    """What the files of issuer `r1` are read for."""
    name, bits = subject_name(ca.certificate), public_key_bits(ca.certificate)
    shards = Shards("r1", planned([], 0, "r1", CrlPlan((SeriesSpec(PATTERN, SHARDS),)), NOW))
    return Scope(Issuer("r1", ca.certificate, IssuerID(name, bits)), shards, NOW)


class Place:
    """A directory with ocsp.toml and the issuer `r1`; the command runs in this process, at NOW."""

    def __init__(self, directory: Path, ca: Ca, capsys: pytest.CaptureFixture[str]) -> None:
        self.directory = directory
        self.ca = ca
        self.clock = FakeClock()
        self._capsys = capsys
        self.errors = ""  # of the last run
        (directory / "ca.pem").write_bytes(ca.certificate.public_bytes(Encoding.PEM))
        self.configure(SHARDS, PATTERN)

    def configure(self, shards: int, pattern: str, more: str = "") -> None:
        text = CONFIG.format(shards=shards, pattern=pattern, more=more)
        (self.directory / "ocsp.toml").write_text(text)

    def append_series(self, pattern: str, shards: int, opens: str) -> None:
        self.configure(
            SHARDS, PATTERN, f', series = [{{ url = "{pattern}", shards = {shards}, from = {opens} }}]'
        )

    @property
    def scope(self) -> Scope:
        return scope_of(self.ca)

    def run(
        self, format: str, path: Path, *, code: int = 0, dry_run: bool = False, keep_going: bool = False
    ) -> Any:
        """What `import --json` prints; its sums are looked at every time."""
        found = import_file(
            self.directory / "ocsp.toml",
            path,
            issuer="r1",
            format=format,
            dry_run=dry_run,
            keep_going=keep_going,
            as_json=True,
            quiet=False,
            clock=self.clock,
        )
        out, self.errors = self._capsys.readouterr()
        assert found == code, self.errors
        result = json.loads(out)
        rows = result["good"] + result["revoked"] + result["expired"]
        assert result["rows"] == rows + result["rejected"]
        if code != 1:
            kinds = ("new", "unchanged", "newly_revoked", "updated", "placed", "kept_revoked")
            assert rows - result["duplicates"] == sum(result[kind] for kind in kinds)
        return result

    def dump(self) -> list[str]:
        """Everything in the ledger; nothing when there is none."""
        path = self.directory / "ledger.db"
        if not path.exists():
            return []
        connection = sqlite3.connect(path)
        lines = list(connection.iterdump())
        connection.close()
        return lines

    def certificates(self) -> list[tuple[Any, ...]]:
        """Rows of the ledger, but for the numbers of changes."""
        connection = sqlite3.connect(self.directory / "ledger.db")
        rows = connection.execute(
            "SELECT serial, not_after, revocation_time, reason, series, shard_index, placed_by "
            "FROM certificate ORDER BY serial"
        ).fetchall()
        connection.close()
        return rows
