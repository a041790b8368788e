"""CRLs of an exact size, so that a length field is just below or just at the point where it takes another octet."""

import datetime
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from _fastpath.der import read
from signer.crl.build import CrlEntry, CrlFields, CrlSigner, build_shard
from tests.clients.commands import run
from tests.fastpath.test_crl import entries_of_size
from tests.signer.crl_authority import URL, SoftwareKey, make_authority

__all__ = ["CASES", "Case", "Made", "make", "sizes"]

KEY = ec.derive_private_key(0x1234567890ABCDEF, ec.SECP256R1())  # make_authority's
SIGNATURE = 71  # octets; ECDSA's vary from 70 to 72
NAME_ROOM = 60  # characters that a name can grow by
SEQUENCE = 0x30


@dataclass(frozen=True, slots=True)
class Case:
    """`part` of the CRL has `size` octets of content: the `whole`, its `tbsCertList` or its `revokedCertificates`.

    A `shard` has a distribution point.
    """

    part: str
    size: int
    shard: bool = False

    def __str__(self) -> str:
        return f"{self.part}-{self.size}{'-shard' * self.shard}"


# A whole CRL of 127 octets cannot be: a signature alone takes 70 and its algorithm is there twice.
CASES = (
    Case("revokedCertificates", 0),
    *(
        Case(part, size)
        for part, first in (("revokedCertificates", 128), ("tbsCertList", 128), ("whole", 256))
        for boundary in (128, 256, 65_536, 16_777_216)
        if boundary >= first
        for size in (boundary - 1, boundary)
    ),
    Case("whole", 999, shard=True),
    Case("whole", 1_001, shard=True),
    Case("whole", 1_000_000, shard=True),
    Case("whole", 9_900_000, shard=True),
)


@dataclass(frozen=True, slots=True)
class Made:
    """A CRL as files, and two certificates of its CA: `revoked` has the highest serial on it, None if it is empty."""

    data: bytes
    entries: list[CrlEntry]
    der: Path
    pem: Path
    ca: Path
    good: Path
    revoked: Path | None

    @property
    def highest(self) -> int:
        """Of the serials on it; 0 if it is empty."""
        return max((int.from_bytes(entry[0]) for entry in self.entries), default=0)


def sizes(data: bytes) -> dict[str, int]:
    """Octets of content of the parts."""
    whole = read(data)[1]
    tbs = rest = read(whole)[1]
    for _ in range(5):  # version, signature, issuer, thisUpdate, nextUpdate
        rest = read(rest)[2]
    tag, content, _ = read(rest)
    revoked = len(content) if tag == SEQUENCE else 0
    return {"whole": len(whole), "tbsCertList": len(tbs), "revokedCertificates": revoked}


def make(case: Case, directory: Path) -> Made:
    """Build it, sign it and issue the certificates."""
    signer, entries, data = _fitted(case)
    paths = {name: directory / f"{name}.pem" for name in ("ca", "crl", "good", "revoked")}
    (directory / "der.crl").write_bytes(data)
    run("openssl", "crl", "-inform", "DER", "-in", directory / "der.crl", "-out", paths["crl"], check=True)
    paths["ca"].write_bytes(signer.certificate.public_bytes(Encoding.PEM))
    revoked = paths["revoked"] if entries else None
    made = Made(data, entries, directory / "der.crl", paths["crl"], paths["ca"], paths["good"], revoked)
    made.good.write_bytes(_leaf(signer, 0x7F))
    if revoked is not None:
        revoked.write_bytes(_leaf(signer, made.highest))
    return made


def _fitted(case: Case) -> tuple[CrlSigner, list[CrlEntry], bytes]:
    """Small differences are made up by the CA's name, large ones by entries."""
    name, room = 1, 0
    for _ in range(6):
        signer = _signer("C" * name)
        entries = entries_of_size(room) if room else []
        data = build_shard(signer, _fields(case), entries)
        short = case.size - sizes(data)[case.part]
        if short == 0:
            return signer, entries, data
        if room == 0 and short <= NAME_ROOM and case.part != "revokedCertificates":
            name += short
        else:
            room += short
    raise AssertionError(f"{case}: cannot be met")


def _fields(case: Case) -> CrlFields:
    now = int(time.time())
    return CrlFields(
        crl_number=1,
        this_update=now - 60,
        next_update=now + 86_400,
        distribution_point_url=URL if case.shard else None,
    )


def _signer(name: str) -> CrlSigner:
    authority = make_authority("p256", name=name)
    return replace(authority, key=SoftwareKey(authority.key.signature_algorithm, _sign))


def _sign(data: bytes) -> bytes:
    signatures: Callable[[], bytes] = lambda: KEY.sign(data, ec.ECDSA(hashes.SHA256()))  # noqa: E731
    return next(signature for signature in iter(signatures, b"") if len(signature) == SIGNATURE)


def _leaf(signer: CrlSigner, serial: int) -> bytes:
    now = datetime.datetime.now(datetime.UTC)
    point = x509.DistributionPoint([x509.UniformResourceIdentifier(URL)], None, None, None)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "leaf")]))
        .issuer_name(signer.certificate.subject)
        .public_key(ec.generate_private_key(ec.SECP256R1()).public_key())
        .serial_number(serial)
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=9))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.CRLDistributionPoints([point]), critical=False)
        .sign(KEY, hashes.SHA256())
    )
    return certificate.public_bytes(Encoding.PEM)
