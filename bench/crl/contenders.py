"""Those who make the same CRL: each run says what it took and how large the result is."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

from bench.child import ran
from bench.crl.corpus import NEXT_UPDATE, Corpus
from signer.crl.build import CrlFields, CrlSigner, build_shard
from signer.keys.file import load_key
from store.model import load_certificate

__all__ = ["Chain", "Contender", "Cryptography", "Memory", "Openssl", "Run", "WrongCrl"]

ROOT = Path(__file__).parents[2]
URL = "http://127.0.0.1/crl/bench/0-0.crl"
REASONS = {
    1: x509.ReasonFlags.key_compromise,
    3: x509.ReasonFlags.affiliation_changed,
    4: x509.ReasonFlags.superseded,
    5: x509.ReasonFlags.cessation_of_operation,
}


class WrongCrl(RuntimeError):
    """A contender's CRL has not the entries that it was to have, or does not verify."""


@dataclass(frozen=True, slots=True)
class Run:
    """CPU time is user and system, of all processes; peak memory above idle where it was looked at."""

    cpu: float
    seconds: float
    octets: int
    peak_mib: float | None = None


class Contender(Protocol):
    """One way to make a CRL of one corpus."""

    name: str

    def run(self) -> Run: ...


class Memory:
    """Ours: from entries in memory to signed octets."""

    name = "encode and sign"

    def __init__(self, corpus: Corpus) -> None:
        self._entries = corpus.entries
        certificate = load_certificate(corpus.directory / "ca.pem")
        self._signer = CrlSigner(certificate, load_key(corpus.directory / "ca.key"))
        self._number = 0

    def run(self) -> Run:
        self._number += 1
        now = int(time.time())
        fields = CrlFields(
            crl_number=self._number,
            this_update=now,
            next_update=now + NEXT_UPDATE,
            distribution_point_url=URL,
        )
        cpu, begin = time.process_time(), time.monotonic()
        data = build_shard(self._signer, fields, self._entries)
        run = Run(time.process_time() - cpu, time.monotonic() - begin, len(data))
        _check(data, self._signer.certificate, len(self._entries))
        return run


class Cryptography:
    """CertificateRevocationListBuilder, from the same entries in memory to signed octets."""

    name = "cryptography"

    def __init__(self, corpus: Corpus) -> None:
        self._entries = corpus.entries
        self._ca = load_certificate(corpus.directory / "ca.pem")
        key = load_pem_private_key((corpus.directory / "ca.key").read_bytes(), None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        self._key = key

    def run(self) -> Run:
        cpu, begin = time.process_time(), time.monotonic()
        data = self._build()
        run = Run(time.process_time() - cpu, time.monotonic() - begin, len(data))
        _check(data, self._ca, len(self._entries))
        return run

    def _build(self) -> bytes:
        now = int(time.time())
        identifier = self._ca.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
        names = [x509.UniformResourceIdentifier(URL)]
        point = x509.IssuingDistributionPoint(names, None, True, False, None, False, False)
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self._ca.subject)
            .last_update(datetime.fromtimestamp(now, UTC))
            .next_update(datetime.fromtimestamp(now + NEXT_UPDATE, UTC))
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), False)
            .add_extension(x509.CRLNumber(1), False)
            .add_extension(point, True)
        )
        for serial, revoked, reason in self._entries:
            entry = (
                x509.RevokedCertificateBuilder()
                .serial_number(int.from_bytes(serial))
                .revocation_date(datetime.fromtimestamp(revoked, UTC))
            )
            if reason:
                entry = entry.add_extension(x509.CRLReason(REASONS[reason]), False)
            builder = builder.add_revoked_certificate(entry.build())
        return builder.sign(self._key, hashes.SHA256()).public_bytes(Encoding.DER)


class Openssl:
    """`openssl ca -gencrl`: its whole process, from index.txt to a file."""

    name = "openssl ca -gencrl"

    def __init__(self, corpus: Corpus) -> None:
        self._directory = corpus.directory
        self._entries = len(corpus.entries)
        self._ca = load_certificate(corpus.directory / "ca.pem")

    def run(self) -> Run:
        command = ["openssl", "ca", "-config", "openssl.cnf", "-gencrl", "-out", "openssl.pem"]
        nowhere = subprocess.DEVNULL
        seconds, used = ran(command, self._directory, nowhere, RuntimeError, nowhere)
        pem = (self._directory / "openssl.pem").read_bytes()
        data = x509.load_pem_x509_crl(pem).public_bytes(Encoding.DER)
        _check(data, self._ca, self._entries)
        return Run(used.ru_utime + used.ru_stime, seconds, len(data))


class Chain:
    """Ours: the whole chain from the ledger to files in a directory, every check included, in a process of its own."""

    name = "whole chain"

    def __init__(self, process: "subprocess.Popen[str]", corpus: Corpus, files: int) -> None:
        self._process = process
        self._corpus = corpus
        self._files = files
        self.idle_mib: float = self._read()["idle_mib"]

    @classmethod
    @contextmanager
    def started(cls, corpus: Corpus, files: int = 1) -> Iterator["Chain"]:
        """Over the corpus, which must be in its ledger; `files` CRLs are published a run."""
        command = [sys.executable, "-m", "bench.crl.builds", str(corpus.config)]
        process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        try:
            yield cls(process, corpus, files)
        finally:
            process.communicate()  # its input ends, and so does it

    def run(self) -> Run:
        assert self._process.stdin is not None
        self._process.stdin.write("build\n")
        self._process.stdin.flush()
        found = self._read()
        if (found["entries"], found["published"]) != (len(self._corpus.entries), self._files):
            raise WrongCrl(
                f"{found['published']} CRLs with {found['entries']} entries: {found['messages'][:3]}"
            )
        return Run(found["cpu"], found["seconds"], found["octets"], found["peak_mib"])

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("bench.crl.builds ended; what it said is above")
        found: dict[str, Any] = json.loads(line)
        return found


def _check(data: bytes, ca: x509.Certificate, entries: int) -> None:
    """Outside what is timed."""
    crl = x509.load_der_x509_crl(data)
    key = ca.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    key.verify(crl.signature, crl.tbs_certlist_bytes, ec.ECDSA(hashes.SHA256()))
    if len(crl) != entries:
        raise WrongCrl(f"{len(crl)} entries, not {entries}")
