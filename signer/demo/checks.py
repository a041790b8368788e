"""The demo's own checks: what is served is asked for as clients do, and held against the ledger."""

import base64
import hashlib
import http.client
import random
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlsplit

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp

from _fastpath.certid import serial_from_int
from signer.demo.authority import Authority, Sample
from signer.ledger.ledger import Ledger
from signer.ledger.values import LedgerIssuer
from store.errors import OcspeedError
from store.model import public_key_bits, subject_name

__all__ = ["CheckFailed", "Client", "check_answers", "check_crls", "check_unissued", "check_with_openssl"]

SAMPLE = 200
UNISSUED = 200


class CheckFailed(OcspeedError):
    """Something that is served is not what it must be."""


@dataclass(frozen=True, slots=True)
class Client:
    """Asks one service over one kept connection, by GET."""

    connection: http.client.HTTPConnection
    ca: x509.Certificate
    responder: x509.Certificate

    @classmethod
    def of(cls, url: str, directory: Path) -> "Client":
        parts = urlsplit(url)
        return cls(
            http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=10),
            x509.load_pem_x509_certificate((directory / "ca.pem").read_bytes()),
            x509.load_pem_x509_certificate((directory / "responder.pem").read_bytes()),
        )

    def fetch(self, path: str) -> bytes:
        """The body of a 200 answer."""
        self.connection.request("GET", path)
        answer = self.connection.getresponse()
        body = answer.read()
        if answer.status != 200:
            raise CheckFailed(f"GET {path}: HTTP status {answer.status}")
        return body

    def ask(self, serial: int) -> ocsp.OCSPResponse:
        """The parsed response; a successful one has been verified and is about this serial."""
        name_hash = hashlib.sha1(subject_name(self.ca)).digest()
        key_hash = hashlib.sha1(public_key_bits(self.ca)).digest()
        builder = ocsp.OCSPRequestBuilder().add_certificate_by_hash(
            name_hash, key_hash, serial, hashes.SHA1()
        )
        request = builder.build().public_bytes(Encoding.DER)
        body = self.fetch("/" + quote(base64.b64encode(request), safe=""))
        response = ocsp.load_der_ocsp_response(body)
        if response.response_status is ocsp.OCSPResponseStatus.SUCCESSFUL:
            self._verify(response, serial)
        return response

    def _verify(self, response: ocsp.OCSPResponse, serial: int) -> None:
        key = self.responder.public_key()
        if response.serial_number != serial or not isinstance(key, ec.EllipticCurvePublicKey):
            raise CheckFailed(f"asked for serial {serial:x}, answered about {response.serial_number:x}")
        try:
            key.verify(response.signature, response.tbs_response_bytes, ec.ECDSA(hashes.SHA256()))
        except InvalidSignature:
            raise CheckFailed(f"serial {serial:x}: the signature of the answer does not verify") from None


def check_answers(client: Client, ledger: Ledger, issuer: LedgerIssuer, seed: int) -> int:
    """Ask for a sample of the ledger's certificates, all revoked ones among the first; how many were asked."""
    rows = ledger.snapshot(issuer.id, 0, (1 << 32) - 1).rows
    revoked = [row for row in rows if row.revoked][: SAMPLE // 2]
    others = [row for row in rows if not row.revoked]
    sample = revoked + random.Random(seed).sample(others, min(SAMPLE - len(revoked), len(others)))
    for row in sample:
        response = client.ask(int.from_bytes(row.serial))
        if response.response_status is not ocsp.OCSPResponseStatus.SUCCESSFUL:
            raise CheckFailed(f"serial {row.serial.hex()}: answered {response.response_status.name}")
        expected = ocsp.OCSPCertStatus.REVOKED if row.revoked else ocsp.OCSPCertStatus.GOOD
        if response.certificate_status is not expected:
            raise CheckFailed(
                f"serial {row.serial.hex()}: {response.certificate_status}, expected {expected}"
            )
    return len(sample)


def check_unissued(client: Client, ledger: Ledger, issuer: LedgerIssuer, seed: int) -> int:
    """Serials that nobody issued are never good (BR 4.9.9); how many were asked."""
    chooser = random.Random(seed)
    for _ in range(UNISSUED):
        serial = chooser.getrandbits(120) | 1
        if ledger.find(issuer.id, serial_from_int(serial)) is None:
            response = client.ask(serial)
            if response.response_status is not ocsp.OCSPResponseStatus.UNAUTHORIZED:
                raise CheckFailed(f"unissued serial {serial:x}: answered {response.response_status.name}")
    return UNISSUED


def check_crls(client: Client, urls: list[str], revoked: int) -> int:
    """Fetch every CRL at its URL: signed by the CA, critical IDP with that URL, together all revocations."""
    key = client.ca.public_key()
    entries = 0
    for url in urls:
        crl = x509.load_der_x509_crl(client.fetch(urlsplit(url).path))
        point = crl.extensions.get_extension_for_class(x509.IssuingDistributionPoint)
        names = [name.value for name in point.value.full_name or []]
        if not isinstance(key, ec.EllipticCurvePublicKey) or not crl.is_signature_valid(key):
            raise CheckFailed(f"{url}: the signature does not verify")
        if not point.critical or names != [url]:
            raise CheckFailed(f"{url}: its issuing distribution point names {names}")
        entries += len(crl)
    if entries != revoked:
        raise CheckFailed(f"the CRLs have {entries} entries, the ledger {revoked} revocations")
    return entries


def check_with_openssl(authority: Authority, url: str) -> list[str]:
    """`openssl ocsp` for one good and one revoked certificate; its verdicts."""
    if shutil.which("openssl") is None:
        raise CheckFailed("openssl is not installed", remedy="install it: apt-get install openssl")
    pairs = ((authority.good, "good"), (authority.revoked, "revoked"))
    return [_ask_openssl(authority.directory, url, sample, expected) for sample, expected in pairs]


def _ask_openssl(directory: Path, url: str, sample: Sample, expected: str) -> str:
    command = [
        "openssl",
        "ocsp",
        "-issuer",
        "ca.pem",
        "-cert",
        sample.path.name,
        "-CAfile",
        "ca.pem",
        "-url",
        url,
    ]
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True, timeout=20)
    verdict = f"{sample.path.name}: {expected}"
    if done.returncode != 0 or verdict not in done.stdout or "Response verify OK" not in done.stderr:
        raise CheckFailed(f"{' '.join(command)}: {done.stdout}{done.stderr}")
    return verdict
